"""An issuer of OpenID Connect on loopback: it publishes a key, and signs tokens with it (RS256). Only for tests: the key is
new in each run, and the arithmetic is not safe against anybody who measures it."""

import base64
import contextlib
import hashlib
import http.server
import json
import secrets
import threading
import time

NAME = "an issuer of tests"
EXPONENT = 65537
# What stands before a SHA-256 in a signature of PKCS #1 v1.5.
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % m for m in range(3, int(n**0.5) + 1, 2))]


def is_prime(number):
    """Miller and Rabin, 20 rounds."""
    if any(number % small == 0 for small in SMALL_PRIMES):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        power = pow(secrets.randbelow(number - 3) + 2, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def prime(bits):
    while True:
        # Both highest bits, so that the product of two has all its bits.
        number = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        if number % EXPONENT != 1 and is_prime(number):
            return number


def text_of(data):
    """base64url without padding, as web tokens have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(self):
        p, q = prime(1024), prime(1024)
        self.modulus = p * q
        self.secret = pow(EXPONENT, -1, (p - 1) * (q - 1))

    def jwks(self):
        size = (self.modulus.bit_length() + 7) // 8
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", "e": text_of(EXPONENT.to_bytes(3, "big"))}
        return {"keys": [{**key, "n": text_of(self.modulus.to_bytes(size, "big"))}]}

    def token(self, audience, **claims):
        """A token that is good for ten minutes."""
        header = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        payload = {"iss": NAME, "aud": audience, "exp": int(time.time()) + 600, **claims}
        signed = ".".join(text_of(json.dumps(part).encode()) for part in (header, payload))
        size = (self.modulus.bit_length() + 7) // 8
        end = b"\0" + SHA256_PREFIX + hashlib.sha256(signed.encode()).digest()
        message = b"\0\1" + b"\xff" * (size - 2 - len(end)) + end
        signature = pow(int.from_bytes(message, "big"), self.secret, self.modulus)
        return f"{signed}.{text_of(signature.to_bytes(size, 'big'))}"

    @contextlib.contextmanager
    def serving(self):
        """Serves its keys; gives their address."""
        answer = json.dumps(self.jwks()).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            server.server_close()
