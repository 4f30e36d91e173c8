//! `dunlin tls`: certificates for development. A deployment gets its certificates from another source.
//!
//! ```text
//!   ca.key ──signs──> ca.pem            what clients trust (--ca)
//!          ──signs──> server.pem        what the gateway shows
//!          ──signs──> client-NAME.pem   what a client shows
//! ```

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use dunlin_manifest::env::Env;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Names of a gateway on this machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many days the authority's certificate is valid.
const CA_DAYS: u32 = 730;
/// How many days the other certificates are valid: the longest time that common clients accept.
const LEAF_DAYS: u32 = 397;
/// The subject of every development authority. Their keys make them different.
const CA_NAME: &str = "Dunlin development CA";

/// `dunlin tls …`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Make a development CA, and a server certificate for localhost signed by it.
    Init {
        /// Names and addresses of the server; those of this machine if not given.
        names: Vec<String>,
        /// Folder of the files; ~/.dunlin/pki if not given.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Sign one more certificate with the development CA.
    Add {
        /// Names and addresses of a server. The first gives the files their name.
        #[arg(required_unless_present = "client", conflicts_with = "client")]
        names: Vec<String>,
        /// Name of a client: its certificate is for --client-cert.
        #[arg(long)]
        client: Option<String>,
        /// Folder of the files; ~/.dunlin/pki if not given.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

/// Runs a command and says which files it wrote.
///
/// # Errors
/// A file exists already or cannot be written, or a name is not allowed in a certificate.
pub fn run(command: &Command) -> Result<()> {
    let written = match command {
        Command::Init { names, folder } => {
            let local = || LOCAL.map(str::to_owned).to_vec();
            let names = if names.is_empty() { local() } else { names.clone() };
            init(&place(folder.as_deref())?, names)?
        }
        Command::Add { names, client, folder } => {
            let folder = place(folder.as_deref())?;
            match client {
                Some(client) => add_client(&folder, client)?,
                None => add_server(&folder, names.clone())?,
            }
        }
    };
    for path in written {
        println!("wrote {}", path.display());
    }
    println!("These certificates are for development: whoever reads ca.key can sign any other.");
    Ok(())
}

fn place(folder: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = folder {
        return Ok(folder.to_owned());
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.context("HOME is not set; say where with --folder")?;
    Ok(Path::new(&home).join(".dunlin").join("pki"))
}

fn init(folder: &Path, names: Vec<String>) -> Result<Vec<PathBuf>> {
    let server = server_params(names)?;
    let files = ["ca.pem", "ca.key", "server.pem", "server.key"].map(|name| folder.join(name));
    refuse_to_overwrite(&files)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let key = KeyPair::generate()?;
    let params = ca_params()?;
    let certificate = params.self_signed(&key)?;
    write(&files[0], &certificate.pem(), 0o644)?;
    write(&files[1], &key.serialize_pem(), 0o600)?;
    sign(&Issuer::new(params, key), server, &files[2], &files[3])?;
    Ok(files.to_vec())
}

fn add_server(folder: &Path, names: Vec<String>) -> Result<Vec<PathBuf>> {
    let first = file_name(names.first().context("a server certificate needs a name")?)?;
    let files = [folder.join(format!("{first}.pem")), folder.join(format!("{first}.key"))];
    refuse_to_overwrite(&files)?;
    sign(&issuer(folder)?, server_params(names)?, &files[0], &files[1])?;
    Ok(files.to_vec())
}

fn add_client(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let stem = file_name(name)?;
    let files =
        [folder.join(format!("client-{stem}.pem")), folder.join(format!("client-{stem}.key"))];
    refuse_to_overwrite(&files)?;
    let mut params = leaf_params(name, Vec::new())?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(&issuer(folder)?, params, &files[0], &files[1])?;
    Ok(files.to_vec())
}

/// A name as part of a file's name.
fn file_name(name: &str) -> Result<String> {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '*');
    ensure!(
        !name.is_empty() && name.len() <= 200 && name.chars().all(usable) && !name.starts_with('.'),
        "{name:?} cannot name a file; use letters, digits, '.', '-' and '_'"
    );
    Ok(name.replace([':', '*'], "_"))
}

/// The authority in `folder`. All authorities have the same subject, so the key is enough.
fn issuer(folder: &Path) -> Result<Issuer<'static, KeyPair>> {
    let path = folder.join("ca.key");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run `dunlin tls init` first", path.display()))?;
    let key = KeyPair::from_pem(&text)
        .with_context(|| format!("{} holds no usable key", path.display()))?;
    Ok(Issuer::new(ca_params()?, key))
}

fn ca_params() -> Result<CertificateParams> {
    let mut params = params(CA_NAME, Vec::new(), CA_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server_params(names: Vec<String>) -> Result<CertificateParams> {
    let first = names.first().cloned().context("a server certificate needs a name")?;
    let mut params = leaf_params(&first, names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn leaf_params(name: &str, alternatives: Vec<String>) -> Result<CertificateParams> {
    let mut params = params(name, alternatives, LEAF_DAYS)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(name: &str, alternatives: Vec<String>, days: u32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(alternatives)
        .with_context(|| format!("{name:?} cannot stand in a certificate"))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(Env::system().clock.wall_ms());
    // Clocks differ. Some machines would refuse a certificate that is valid only from this moment on.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
    Ok(params)
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    params: CertificateParams,
    certificate: &Path,
    key: &Path,
) -> Result<()> {
    let pair = KeyPair::generate()?;
    let signed = params.signed_by(&pair, issuer)?;
    write(certificate, &signed.pem(), 0o644)?;
    write(key, &pair.serialize_pem(), 0o600)
}

fn refuse_to_overwrite(files: &[PathBuf]) -> Result<()> {
    for path in files {
        ensure!(
            !path.exists(),
            "{} is there already; move it away, or choose another --folder",
            path.display()
        );
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn keys_are_for_their_owner_only_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("pki");
        let mut written = init(&folder, names(&LOCAL)).unwrap();
        written.extend(add_server(&folder, names(&["gateway.test", "10.0.0.1"])).unwrap());
        written.extend(add_client(&folder, "ci").unwrap());
        for path in &written {
            let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let secret = path.extension().is_some_and(|extension| extension == "key");
            assert_eq!(mode, if secret { 0o600 } else { 0o644 }, "{}", path.display());
        }
        let before: Vec<_> = written.iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(init(&folder, names(&LOCAL)).is_err());
        assert!(add_server(&folder, names(&["gateway.test"])).is_err());
        assert!(add_client(&folder, "ci").is_err());
        let after: Vec<_> = written.iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(before == after);
    }

    #[test]
    fn half_a_set_of_files_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server.key"), "mine").unwrap();
        assert!(init(folder.path(), names(&LOCAL)).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), names(&LOCAL)).unwrap();
        for name in ["../evil", "", ".hidden", "a/b", "a b"] {
            assert!(add_client(folder.path(), name).is_err(), "{name}");
            assert!(add_server(folder.path(), names(&[name])).is_err(), "{name}");
        }
        let written = add_server(folder.path(), names(&["*.gateway.test"])).unwrap();
        assert!(written[0].ends_with("_.gateway.test.pem"));
    }

    #[test]
    fn without_an_authority_it_says_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = add_client(folder.path(), "ci").unwrap_err();
        assert!(format!("{error:#}").contains("dunlin tls init"));
    }
}
