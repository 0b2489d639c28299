//! An installation as its operator sees it: its files, its processes, and a connection to the signer's Administration
//! service.

pub mod admin;
pub mod installation;
pub mod process;
