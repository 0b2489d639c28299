//! The log of OpenSC's pkcs11-spy: every call that reached the PKCS#11 library, with what went in and what came out.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tool;

/// Where Debian puts the spy.
const PLACES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/pkcs11-spy.so",
];

/// A line of dumped octets: four spaces, the offset in eight digits, two spaces, sixteen octets of three columns each,
/// then the same as text.
const DUMP_INDENT: &str = "    ";
const DUMP_OFFSET_DIGITS: usize = 8;
const DUMP_OCTETS: std::ops::Range<usize> = 14..62;

/// The spy's module.
///
/// # Errors
///
/// When OpenSC is not installed.
pub fn module() -> Result<PathBuf> {
    let [first, _] = PLACES;
    let found = PLACES.into_iter().find(|place| Path::new(place).is_file());
    tool::existing(Path::new(found.unwrap_or(first)), "opensc-pkcs11")
}

/// All calls, in order.
#[derive(Debug)]
pub struct Trace(Vec<Call>);

/// One call of a PKCS#11 function.
#[derive(Debug)]
pub struct Call {
    /// Such as `C_Sign`.
    pub function: String,
    /// Name and octets of each buffer that was dumped; a buffer that is only measured has none.
    buffers: Vec<(String, Vec<u8>)>,
    ok: bool,
}

impl Trace {
    /// Reads a log. The spy writes each call as `N: C_Name`, then its arguments and its return value, a line each.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn read(file: &Path) -> Result<Self> {
        let mut calls: Vec<Call> = Vec::new();
        for line in String::from_utf8_lossy(&std::fs::read(file)?).lines() {
            if let Some(function) = function(line) {
                calls.push(Call {
                    function,
                    buffers: Vec::new(),
                    ok: false,
                });
            } else if let Some(call) = calls.last_mut() {
                call.take(line);
            }
        }
        Ok(Self(calls))
    }

    /// The calls of a function that returned CKR_OK.
    pub fn of<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a Call> {
        self.0
            .iter()
            .filter(move |call| call.ok && call.function == function)
    }

    /// How often a function was called, with whatever result.
    pub fn count(&self, function: &str) -> usize {
        self.0
            .iter()
            .filter(|call| call.function == function)
            .count()
    }
}

impl Call {
    /// The octets of an argument, by its PKCS#11 name.
    pub fn buffer(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .buffers
            .iter()
            .find(|(known, octets)| known == name && !octets.is_empty());
        found.map(|(_, octets)| octets.as_slice())
    }

    fn take(&mut self, line: &str) {
        if let Some(argument) = line
            .strip_prefix("[in] ")
            .or_else(|| line.strip_prefix("[out] "))
        {
            let name = argument.split(['[', ' ']).next().unwrap_or_default();
            self.buffers.push((name.to_owned(), Vec::new()));
        } else if line.starts_with("Returned:") {
            self.ok = line.contains("CKR_OK");
        } else if let Some((_, octets)) = self.buffers.last_mut() {
            octets.extend(dumped(line));
        }
    }
}

fn function(line: &str) -> Option<String> {
    let (number, name) = line.split_once(": ")?;
    let is_call = number.parse::<u64>().is_ok() && name.starts_with("C_");
    is_call.then(|| name.trim_end().to_owned())
}

fn dumped(line: &str) -> Vec<u8> {
    let is_dump = line.strip_prefix(DUMP_INDENT).is_some_and(|rest| {
        rest.bytes().take_while(u8::is_ascii_hexdigit).count() == DUMP_OFFSET_DIGITS
    });
    let columns = line
        .get(DUMP_OCTETS)
        .filter(|_| is_dump)
        .unwrap_or_default();
    columns
        .split_whitespace()
        .map_while(|octet| u8::from_str_radix(octet, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_buffers_and_its_result() {
        let log = "\
117: C_Sign
2026-01-01 00:00:00.000
[in] hSession = 0x1
[in] pData[ulDataLen] 00007ffca7113150 / 3
    00000000  68 69 0A                                         hi.             
[out] pSignature[*pulSignatureLen] 00007ffca7112f50 / 17
    00000000  55 74 03 6A ED 0C 08 2F 37 42 80 27 2B 0C 80 DA  Ut.j.../7B.'+...
    00000010  7C                                               |               
Returned:  0 CKR_OK
";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), log).unwrap();
        let trace = Trace::read(file.path()).unwrap();
        let call = trace.of("C_Sign").next().unwrap();
        assert_eq!(call.buffer("pData"), Some(&b"hi\n"[..]));
        assert_eq!(call.buffer("pSignature").map(<[u8]>::len), Some(17));
        assert_eq!(call.buffer("pSignature").unwrap()[16], 0x7c);
        assert_eq!(trace.count("C_Login"), 0);
    }
}
