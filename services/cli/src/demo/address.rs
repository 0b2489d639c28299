//! The frontend's address: held from the set-up on, and kept from one start to the next, as certificates name it.

use std::net::{SocketAddr, TcpListener};

use assay_console::failure::{Next, OrFail, Outcome};

/// An address that nobody else can take until the frontend does.
pub(super) struct HeldAddress {
    address: SocketAddr,
    _held: TcpListener,
}

impl HeldAddress {
    /// The address asked for; where any port will do, that of the last start while it is free.
    pub(super) fn hold(listen: SocketAddr, last: Option<SocketAddr>) -> Outcome<Self> {
        let last = last.filter(|last| listen.port() == 0 && last.ip() == listen.ip());
        let held = last
            .and_then(|last| TcpListener::bind(last).ok())
            .map_or_else(|| TcpListener::bind(listen), Ok)
            .or_fail(format!("cannot listen on {listen}"))
            .next("end what listens there, or give another address with --listen")?;
        let address = held.local_addr().or_fail("cannot tell the address")?;
        Ok(Self {
            address,
            _held: held,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Releases the address, for the frontend to take.
    pub(super) fn release(self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_last_start_is_taken_again_while_it_is_free() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = HeldAddress::hold(any, None).unwrap();
        let address = first.address();
        // Taken: another one.
        let second = HeldAddress::hold(any, Some(address)).unwrap();
        assert_ne!(second.address(), address);
        assert!(HeldAddress::hold(address, None).is_err());
        first.release();
        assert_eq!(
            HeldAddress::hold(any, Some(address)).unwrap().address(),
            address
        );
    }
}
