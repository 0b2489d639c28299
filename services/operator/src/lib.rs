//! An installation as its operator sees it: its files, its processes and their users, a connection to the signer's Administration
//! service, and the exports that it makes.

pub mod admin;
pub mod export;
pub mod installation;
pub mod process;
pub mod services;
