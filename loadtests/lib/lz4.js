// LZ4 frames, as Arrow IPC uses them for compressed buffers: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
// Checksums of frames are not verified: the answer as a whole is compared with its expected checksum.

const MAGIC = 0x184d2204;

// Decompresses the frame in `input` (Uint8Array) into exactly `length` bytes.
export function decompressFrame(input, length) {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw new Error('a compressed buffer is no LZ4 frame');
  const flags = input[4];
  const hasBlockChecksum = (flags & 0x10) !== 0;
  const hasContentSize = (flags & 0x08) !== 0;
  const hasDictionary = (flags & 0x01) !== 0;
  let at = 4 + 2 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0) + 1;
  const output = new Uint8Array(length);
  let written = 0;
  for (;;) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0) break;
    const bytes = size & 0x7fffffff;
    if ((size & 0x80000000) !== 0) {
      output.set(input.subarray(at, at + bytes), written);
      written += bytes;
    } else {
      written = decompressBlock(input, at, at + bytes, output, written);
    }
    at += bytes + (hasBlockChecksum ? 4 : 0);
  }
  if (written !== length) throw new Error(`an LZ4 frame holds ${written} bytes instead of ${length}`);
  return output;
}

// Decompresses one block, input[at..end], to output[to..]; returns the end of what it wrote.
function decompressBlock(input, at, end, output, to) {
  while (at < end) {
    const token = input[at++];
    let literals = token >> 4;
    if (literals === 15) {
      let more;
      do {
        more = input[at++];
        literals += more;
      } while (more === 255);
    }
    output.set(input.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= end) break;
    const distance = input[at] | (input[at + 1] << 8);
    at += 2;
    let match = (token & 15) + 4;
    if ((token & 15) === 15) {
      let more;
      do {
        more = input[at++];
        match += more;
      } while (more === 255);
    }
    if (distance === 0 || distance > to) throw new Error('an LZ4 block points before its beginning');
    // Byte by byte: a match may overlap what it writes.
    for (let from = to - distance, left = match; left > 0; left--) output[to++] = output[from++];
  }
  return to;
}
