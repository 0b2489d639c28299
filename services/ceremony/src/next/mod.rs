//! `assay-ceremony next`: the CA that takes over, its RA and responder, and what signer.toml has to say of them.

mod abandon;
mod edit;
mod finish;
mod made;
mod make;
mod plan;
mod signer_toml;
mod switch;
mod tables;

use assay_pkcs11::{KeyAlgorithm, TokenUri};
use assay_policy::Dn;
use clap::{Args, Subcommand};

use super::args::token_uri;
use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::installation::Installation;
use finish::FinishArgs;
pub(super) use made::{Made, ocsp_table};
pub(super) use signer_toml::SignerToml;
pub(super) use switch::{Life, SwitchArgs, lives};
use tables::TablesArgs;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    about = "Make the CA that takes over from the present one, and its RA",
    long_about = "\
Makes the keys of the next CA in the token of the ceremony here, of the same kinds as the present ones and under labels \
of their own (ca-sign-g2, ra-decrypt-g2, ...), and the certificates over them in certificates/2/; the generation after it \
is 3. log-sign and probe stay as they are. The next CA stands under the root of the first ceremony, whose key is used \
again (--root-token), or under an offline root: --csr writes certificates/2/ca.csr, `assay-ceremony import` takes the \
answer. In the end it prints the tables [rollover] for signer.toml.
Nothing is overwritten; a run that ends early says what is left. One CA takes over at a time."
)]
pub(crate) struct NextArgs {
    #[command(subcommand)]
    part: Option<Part>,

    #[command(flatten)]
    make: MakeArgs,
}

#[derive(Debug, Subcommand)]
enum Part {
    Tables(TablesArgs),
    Finish(FinishArgs),
    /// Give up a next CA that was begun or made and does not take over
    ///
    /// Its number is not used again, and what was made of it stays where it is: this says what that is.
    Abandon,
}

#[derive(Debug, Args)]
struct MakeArgs {
    /// Token of the root key, a PKCS#11 URI [default: the one of the first ceremony]
    #[arg(long, value_name = "URI", value_parser = token_uri, conflicts_with = "csr")]
    root_token: Option<TokenUri>,

    /// Write certificates/2/ca.csr for an offline root
    #[arg(long)]
    csr: bool,

    #[command(flatten)]
    switch: SwitchArgs,

    /// Next CA's key: rsa2048, rsa3072, rsa4096, p256 or p384 [default: of the present kind]
    #[arg(long, value_name = "ALGORITHM")]
    ca_key: Option<KeyAlgorithm>,

    /// Its RA keys, RSA [default: of the present kind]
    #[arg(long, value_name = "ALGORITHM")]
    ra_key: Option<KeyAlgorithm>,

    /// Next CA's subject, RFC 4514 [default: the present one with the number of the generation, CN=Assay Issuing CA G2]
    #[arg(long, value_name = "DN", value_parser = Dn::parse_rfc4514)]
    ca_subject: Option<Dn>,

    /// Its RA's subject [default: likewise, CN=Assay RA G2]
    #[arg(long, value_name = "DN", value_parser = Dn::parse_rfc4514)]
    ra_subject: Option<Dn>,

    /// Days that the next CA is valid; it ends with the root at the latest
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=18_250))]
    ca_days: u32,

    /// Days that its RA certificates are valid; they end with the CA at the latest [default: as before]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=18_250))]
    ra_days: Option<u32>,
}

pub(super) fn run(args: NextArgs, installation: &Installation, out: Output) -> Outcome {
    match args.part {
        None => make::run(args.make, installation, out),
        Some(Part::Tables(args)) => tables::run(&args, installation, out),
        Some(Part::Finish(args)) => finish::run(&args, installation, out),
        Some(Part::Abandon) => abandon::run(installation, out),
    }
}
