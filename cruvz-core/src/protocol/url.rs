//! What the URLs of all protocols have in common.

/// Why a text is no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressError {
    Host,
    Port,
}

/// Host, without the brackets of an IPv6 address, and port.
pub(super) fn split_address(address: &str) -> Result<(&str, Option<u16>), AddressError> {
    let (host, rest) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(AddressError::Host)?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let fits = |c: char| c.is_alphanumeric() || "-._~%:".contains(c);
    if host.is_empty() || !host.chars().all(fits) {
        return Err(AddressError::Host);
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?),
        None if rest.is_empty() => None,
        None => return Err(AddressError::Host),
    };
    Ok((host, port))
}
