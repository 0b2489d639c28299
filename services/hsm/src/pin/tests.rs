//! A token in memory that counts tries.

use std::cell::Cell;

use tempfile::TempDir;

use super::*;

/// A directory of state, and what the token was asked.
struct Place {
    state: TempDir,
    tries: Cell<usize>,
}

/// The outcomes of a login.
enum Login {
    Succeeds,
    IsRefused,
    /// With an error that says nothing of the PIN.
    Fails,
}

impl Place {
    fn new() -> Self {
        Self {
            state: TempDir::new().unwrap(),
            tries: Cell::new(0),
        }
    }

    fn marker(&self) -> Marker {
        Marker::in_directory(self.state.path())
    }

    fn pin(&self, text: &str) -> Pin {
        let file = self.state.path().join("pin");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&file)
            .unwrap()
            .write_all_at(text.as_bytes(), 0)
            .unwrap();
        assay_pkcs11::PinSource::File(file).read().unwrap()
    }

    /// Whether the token was asked.
    fn attempt(&self, pin: &str, login: &Login) -> (bool, Result<(), StartError>) {
        let before = self.tries.get();
        let result = try_once(&self.marker(), &self.pin(pin), "file:/pin", || {
            self.tries.set(before + 1);
            // As a process would find it that is started after a kill now.
            let inside = self.marker().tried().unwrap().unwrap();
            assert_eq!(inside.last().unwrap().fate, Fate::Unknown);
            match login {
                Login::Succeeds => Ok(()),
                Login::IsRefused => Err(TokenError::WrongPin {
                    token: "Test token".to_owned(),
                    code: "CKR_PIN_INCORRECT".to_owned(),
                    source_uri: String::new(),
                }),
                Login::Fails => Err(TokenError::Call {
                    action: "login".to_owned(),
                    code: "CKR_DEVICE_ERROR".to_owned(),
                }),
            }
        });
        (self.tries.get() > before, result)
    }

    fn refused(&self, pin: &str) -> bool {
        let (asked, result) = self.attempt(pin, &Login::IsRefused);
        let error = result.unwrap_err();
        assert_eq!(asked, matches!(error, StartError::Token(_)), "{error}");
        asked
    }

    fn succeeds(&self, pin: &str) -> bool {
        self.attempt(pin, &Login::Succeeds).1.is_ok()
    }
}

#[test]
fn every_refused_pin_is_tried_once_in_whatever_order_until_one_logs_in() {
    let place = Place::new();
    let asked = ["A", "B", "A", "B", "C", "A"].map(|pin| place.refused(pin));
    assert_eq!(asked, [true, true, false, false, true, false]);
    assert!(!place.succeeds("A"), "a marked PIN is not tried");
    assert!(place.succeeds("D"));
    assert!(place.succeeds("D"), "a login leaves no marker");
    assert!(place.refused("A"));
}

#[test]
fn a_kill_during_the_login_leaves_a_marker_that_says_so() {
    let place = Place::new();
    // As such a process leaves it.
    let tried = Tried::new(&place.pin("A")).unwrap();
    place.marker().write(&[tried]).unwrap();
    for _ in 0..2 {
        let (asked, result) = place.attempt("A", &Login::Succeeds);
        let said = result.unwrap_err().to_string();
        assert!(!asked);
        assert!(said.contains("not known"), "{said}");
        assert!(said.contains("assay-hsm clear-pin-marker"), "{said}");
    }
    assert!(place.marker().clear().unwrap());
    assert!(!place.marker().clear().unwrap());
    assert!(place.succeeds("A"));
}

#[test]
fn an_error_that_is_no_refusal_leaves_no_marker() {
    let place = Place::new();
    assert!(place.refused("A"));
    for _ in 0..2 {
        let (asked, result) = place.attempt("B", &Login::Fails);
        assert!(asked && result.is_err());
    }
    assert!(!place.refused("A"));
}

#[test]
fn the_marker_is_bounded_and_what_is_not_understood_stands_for_every_pin() {
    let place = Place::new();
    for number in 0..MOST {
        assert!(place.refused(&format!("pin {number}")));
    }
    let (asked, result) = place.attempt("another", &Login::Succeeds);
    let said = result.unwrap_err().to_string();
    assert!(!asked && said.contains("names 16 PINs"), "{said}");
    assert!(said.contains("assay-hsm clear-pin-marker"), "{said}");
    let length = fs::metadata(&place.marker().path).unwrap().len();
    assert_eq!(length, SIZE as u64);

    for garbage in ["x", "refused 00", "lost 00\n"] {
        fs::write(&place.marker().path, garbage).unwrap();
        let (asked, result) = place.attempt("another", &Login::Succeeds);
        let said = result.unwrap_err().to_string();
        assert!(!asked && said.contains("cannot be understood"), "{said}");
        assert!(place.marker().clear().unwrap());
        assert!(place.succeeds("another"));
    }
}
