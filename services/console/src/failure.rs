//! How a command fails: one line that says what, one that says what to do next, and an exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Exit codes, part of the command-line contract (the `--help` of each program lists those that it uses).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Failed, or refused by the signer, the token or a check.
    Failed = 1,
    /// Wrong usage or configuration. Clap ends with the same code.
    Usage = 2,
    /// The signer or the frontend cannot be reached, or is not ready. Of an export: what it takes to tell is not at hand.
    Unreachable = 3,
    /// Stopped by the operator before the work was done.
    Interrupted = 4,
    /// The request waits for an operator's approval.
    Pending = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended without success.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    next: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a command, or a step of one, ends with.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with the code given; `what` is the line that a person reads first.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            next: None,
            source: None,
        }
    }

    /// The work was tried and failed, or was refused.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// The command line or a configuration file is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The same failure under another code.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Ends with a code, without a message: what was printed has said everything.
    pub fn reported(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Whether everything has been said, so that no message is left to print.
    pub fn is_reported(&self) -> bool {
        self.what.is_empty()
    }

    /// Adds the cause, which is printed with all of its own causes.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what to do next. The first hint stays: the code closest to the failure knows most.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.get_or_insert_with(|| next.into());
        self
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        let mut cause = self.source.as_deref().map(|error| error as &dyn Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

/// Turns any error into a [`Failure`] that says what was being done.
pub trait OrFail<T> {
    /// The error as the cause of a failure of the work.
    ///
    /// # Errors
    /// Whatever `self` holds, as [`Exit::Failed`].
    fn or_fail(self, what: impl Into<String>) -> Outcome<T>;

    /// The error as the cause of wrong usage or configuration.
    ///
    /// # Errors
    /// Whatever `self` holds, as [`Exit::Usage`].
    fn or_usage(self, what: impl Into<String>) -> Outcome<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: impl Into<String>) -> Outcome<T> {
        self.map_err(|error| Failure::failed(what).because(error))
    }

    fn or_usage(self, what: impl Into<String>) -> Outcome<T> {
        self.map_err(|error| Failure::usage(what).because(error))
    }
}

/// Adds what to do next to a failure that does not say so yet.
pub trait Next {
    /// See [`Failure::next`].
    #[must_use]
    fn next(self, next: impl Into<String>) -> Self;
}

impl<T> Next for Outcome<T> {
    fn next(self, next: impl Into<String>) -> Self {
        self.map_err(|failure| failure.next(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_causes_and_what_to_do() {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let failure = Failure::failed("cannot read ca.pem")
            .because(cause)
            .next("run the ceremony")
            .next("a later, vaguer hint");
        assert_eq!(
            failure.to_string(),
            "cannot read ca.pem: no such file\n  next: run the ceremony"
        );
    }
}
