//! Messages of a commercial registration, subscription and call, where they are at hand.
#![allow(clippy::disallowed_methods, reason = "the messages are files")]

use imstorm_sip::{Edits, HeaderName, Index, parse};
use std::path::PathBuf;

/// A folder `spec/messages` in one of the folders beside the checkout.
fn messages() -> Option<std::fs::ReadDir> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let folders = std::fs::read_dir(beside).ok()?.flatten();
    folders.filter_map(|folder| std::fs::read_dir(folder.path().join("spec/messages")).ok()).next()
}

#[test]
fn all_headers_can_be_read() {
    let Some(files) = messages() else {
        println!("skipped: there is no folder spec/messages beside the checkout");
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.display();
        let mut index = Index::default();
        let message = parse(&bytes, &mut index).unwrap_or_else(|error| panic!("{name}: {error}"));
        message.check().unwrap_or_else(|error| panic!("{name}: {error}"));
        for &header in HeaderName::ALL {
            if matches!(
                header,
                HeaderName::Route
                    | HeaderName::RecordRoute
                    | HeaderName::Path
                    | HeaderName::ServiceRoute
                    | HeaderName::PAssociatedUri
                    | HeaderName::PAssertedIdentity
                    | HeaderName::Contact
            ) {
                for address in message.name_addrs(header) {
                    address.unwrap_or_else(|error| panic!("{name}: {error}"));
                }
            }
        }
        assert!(message.vias().all(|via| via.is_ok()), "{name}");
        for outcome in [
            message.event().map(drop),
            message.subscription_state().map(drop),
            message.authorization().map(drop),
            message.www_authenticate().map(drop),
            message.expires().map(drop),
            message.max_forwards().map(drop),
        ] {
            outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(!message.headers().iter().any(|header| header.name == HeaderName::Extension));
        let mut out = vec![0; 65_535];
        let len = Edits::new().write(&message, &mut out).unwrap();
        assert_eq!(&out[..len], message.bytes(), "{name}");
    }
}
