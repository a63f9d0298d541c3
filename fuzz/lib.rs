//! How fuzz inputs become what the targets need.

/// Into how many pieces an input is cut. More show nothing new, and take their time.
const MAX_PIECES: usize = 256;

/// Cuts `bytes` as a network would: into pieces whose sizes derive from `seed`; 0 leaves it whole. The last of many is the rest.
pub fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = u32::from(seed);
    let mut made = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(u32::from(seed));
        made += 1;
        let size = match seed {
            _ if made >= MAX_PIECES => rest.len(),
            0 => rest.len(),
            seed => 1 + (state >> 16) as usize % usize::from(seed),
        };
        let (piece, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        Some(piece)
    })
}

/// `text` with another secret of the same length. `None` for a short one, and for one that occurs elsewhere as well, itself
/// overlapped included: there is no telling which is the secret then.
pub fn with_another(text: &str, secret: &str) -> Option<String> {
    let occurs =
        |part: &str| text.as_bytes().windows(part.len()).filter(|window| *window == part.as_bytes()).count();
    (secret.len() > 8 && occurs(secret) == 1).then(|| text.replace(secret, &"z".repeat(secret.len())))
}

/// Splits off the records that seeds are made of: a kind, then a length of two bytes, then that many bytes.
/// The last may be cut short.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, high, low, rest @ ..] = bytes else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (record, left) = rest.split_at(length);
        bytes = left;
        Some((*kind, record))
    })
}
