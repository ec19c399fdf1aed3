//! A TLS certificate that is made at the start.

use std::io::{Error, Result};

use tokio_rustls::TlsAcceptor;

/// A certificate for the names of loopback, and the certificate of the authority to trust.
#[cfg(feature = "tls")]
pub(crate) struct Certificate {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: rcgen::KeyPair,
    /// In PEM.
    pub(crate) authority: String,
}

#[cfg(feature = "tls")]
impl Certificate {
    pub(crate) fn generate() -> Result<Self> {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

        let names = ["localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec();
        let authority_key = KeyPair::generate().map_err(Error::other)?;
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(rcgen::DnType::CommonName, "warmline-sim");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = authority
            .self_signed(&authority_key)
            .map_err(Error::other)?
            .pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().map_err(Error::other)?;
        let mut params = CertificateParams::new(names).map_err(Error::other)?;
        params
            .extended_key_usages
            .push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = params.signed_by(&key, &issuer).map_err(Error::other)?;
        Ok(Self {
            certificate,
            key,
            authority: pem,
        })
    }
}

/// An acceptor for the names of loopback, and the certificate of the authority to trust, in PEM.
#[cfg(feature = "tls")]
pub(crate) fn acceptor() -> Result<(TlsAcceptor, String)> {
    use std::sync::Arc;

    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    let Certificate {
        certificate,
        key,
        authority,
    } = Certificate::generate()?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority))
}

#[cfg(not(feature = "tls"))]
pub(crate) fn acceptor() -> Result<(TlsAcceptor, String)> {
    let message = "this build has no TLS: build it with the feature `tls`";
    Err(Error::new(std::io::ErrorKind::Unsupported, message))
}
