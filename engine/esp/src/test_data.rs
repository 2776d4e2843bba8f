//! The published vectors, for the tests.

use serde_json::Value;

/// `tests/data/vectors/esp.json`.
pub(crate) fn esp_vectors() -> Value {
    let text = include_str!("../../../tests/data/vectors/esp.json");
    serde_json::from_str(text).unwrap()
}

/// The bytes of a hexadecimal text.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap().as_bytes();
    assert!(text.len().is_multiple_of(2));
    let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
    text.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
