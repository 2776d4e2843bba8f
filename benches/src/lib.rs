//! What the benchmarks work on: messages and a profile, made up, as they are in a secure set-up.
//! The benchmarks themselves are in `steps/`; README.md says what they measure.

#![forbid(unsafe_code)]

/// The SUBSCRIBE that a UE sends through its security association, with the answer to the
/// challenge: 21 headers, no body.
pub const SUBSCRIBE: &[u8] = include_bytes!("../fixtures/subscribe.sip");

/// The NOTIFY that the UE gets next: 21 headers and a body of four identities.
pub const NOTIFY: &[u8] = include_bytes!("../fixtures/notify.sip");

/// A profile of UEs that set up security and release it, over a network without faults.
pub const SETUP_PROFILE: &str = include_str!("../fixtures/setup.toml");

/// The messages with their names.
pub const MESSAGES: [(&str, &[u8]); 2] = [("SUBSCRIBE", SUBSCRIBE), ("NOTIFY", NOTIFY)];

/// The headers of a message, from behind the start line to the empty line, and that included.
///
/// # Panics
/// If there is no start line or no empty line.
#[must_use]
pub fn header_block(message: &[u8]) -> &[u8] {
    let start = find(message, b"\r\n").expect("a start line") + 2;
    let end = find(message, b"\r\n\r\n").expect("an empty line") + 4;
    &message[start..end]
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_as_real_ones() {
        for (name, message) in MESSAGES {
            assert!((1_200..1_300).contains(&message.len()), "{name}: {} bytes", message.len());
            let headers = header_block(message);
            assert!(headers.starts_with(b"Via: ") && headers.ends_with(b"\r\n\r\n"), "{name}");
        }
    }
}
