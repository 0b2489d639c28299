//! The attacker's process: it asks, counts, and keeps whatever it obtains.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use assay_hsm::wire::{self, FrameBuffer, Greeting, Hello, PROTOCOL};
use assay_hsm::{CaKeys, Digest, Hsm, OperationError, Priority, RaKeys, Token};
use assay_types::Hash;
use openssl::base64;
use rustix::process::geteuid;

use crate::scene::{Gain, Loot, Scene, Structure};
use crate::support::reply::Message;
use crate::{certificates, mutations, reach, rollbacks};

/// Requests of an honest signer, without which there is nothing to take back.
pub(crate) const HONEST: &str = "honest requests";

/// The one refusal for now: the CRL could still say so.
const AHEAD_OF_THE_CRL: &str = "is ahead of the last CRL";

pub(crate) async fn run(dir: &Path) {
    let scene: Scene = serde_json::from_slice(&fs::read(dir.join("scene.json")).unwrap()).unwrap();
    let is_the_service = geteuid().as_raw() == scene.hsm;
    let loot = if is_the_service {
        let mut loot = Loot::default();
        wait_for(&scene);
        reach::search(&scene, &mut loot);
        loot
    } else {
        let hsm = Hsm::connect(scene.client()).await.unwrap();
        let mut attacker = Attacker {
            keys: scene.keys(&hsm),
            scene,
            loot: Loot::default(),
        };
        let log = attacker.keys.log_key().map(|key| key.spki_der.clone());
        attacker.loot.log_key = log.unwrap();
        reach::search(&attacker.scene, &mut attacker.loot);
        let mut history = rollbacks::History::make(&mut attacker).await;
        certificates::attack(&mut attacker, &history).await;
        rollbacks::attack(&mut attacker, &mut history).await;
        mutations::attack(&mut attacker, &mut history).await;
        history.stays_unchanged(&mut attacker).await;
        hsm.shutdown().await;
        attacker.loot
    };
    let to = dir.join(format!("loot-{}/loot.json", geteuid().as_raw()));
    fs::write(to, serde_json::to_vec(&loot).unwrap()).unwrap();
}

fn wait_for(scene: &Scene) {
    let socket = scene.dir.join("run/hsm.sock");
    let patience = std::time::Instant::now() + crate::support::PATIENCE;
    while !socket.exists() {
        assert!(
            std::time::Instant::now() < patience,
            "the service does not start"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

pub(crate) struct Attacker {
    pub(crate) scene: Scene,
    pub(crate) keys: CaKeys,
    pub(crate) loot: Loot,
}

impl Attacker {
    /// Asks for a certificate; whether it was signed.
    pub(crate) async fn certificate(&mut self, kind: &str, tbs: &[u8]) -> bool {
        let answer = self.keys.sign_certificate("hostile", tbs).await;
        self.keep(kind, Structure::Certificate, tbs, &[], answer)
    }

    pub(crate) async fn crl(&mut self, kind: &str, tbs: &[u8]) -> bool {
        let answer = self.keys.sign_crl("hostile", tbs).await;
        self.keep(kind, Structure::Crl, tbs, &[], answer)
    }

    pub(crate) async fn status(&mut self, kind: &str, data: &[u8]) -> bool {
        let answer = self.keys.sign_ocsp("hostile", Priority::Normal, data).await;
        self.keep(kind, Structure::Status, data, &[], answer)
    }

    pub(crate) async fn cert_rep(&mut self, kind: &str, message: &Message) -> bool {
        let answer = message.sign(&self.keys, RaKeys::Pair, Digest::Sha256).await;
        let Message {
            content,
            attributes,
        } = message;
        self.keep(kind, Structure::CertRep, attributes, content, answer)
    }

    pub(crate) async fn next_ca(&mut self, kind: &str, message: &Message) -> bool {
        let Message {
            content,
            attributes,
        } = message;
        let answer = self
            .keys
            .sign_next_ca(RaKeys::Pair, content, attributes)
            .await;
        self.keep(kind, Structure::NextCa, attributes, content, answer)
    }

    pub(crate) async fn checkpoint(
        &mut self,
        kind: &str,
        size: u64,
        root: Hash,
        leaves: &[Hash],
    ) -> bool {
        let answer = self.keys.sign_checkpoint(size, root, leaves).await;
        let mut text = format!(
            "{}\n{size}\n{}\n",
            self.scene.origin,
            base64::encode_block(root.as_bytes())
        );
        let answer = answer.map(|signed| {
            for line in signed.extensions {
                text += &format!("{line}\n");
            }
            signed.signature
        });
        let leaves: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
        self.keep(
            kind,
            Structure::Checkpoint,
            text.as_bytes(),
            &leaves,
            answer,
        )
    }

    /// Counts an attack that obtained nothing.
    pub(crate) fn refused(&mut self, kind: &str) {
        self.loot.kinds.entry(kind.to_owned()).or_default().tried += 1;
    }

    /// Counts an answer and keeps a signature.
    pub(crate) fn keep(
        &mut self,
        kind: &str,
        structure: Structure,
        data: &[u8],
        content: &[u8],
        answer: Result<Vec<u8>, OperationError>,
    ) -> bool {
        self.refused(kind);
        match answer {
            Ok(signature) => {
                self.loot.kinds.entry(kind.to_owned()).or_default().signed += 1;
                self.loot.gains.push(Gain {
                    kind: kind.to_owned(),
                    structure,
                    data: data.to_vec(),
                    content: content.to_vec(),
                    signature,
                });
                true
            }
            Err(OperationError::Refused { .. }) => false,
            Err(OperationError::NotNow { reason }) if reason.contains(AHEAD_OF_THE_CRL) => false,
            // Nothing else here is refused because of the moment: ceilings are high and the service does not end.
            Err(other) => panic!("{kind}: {other}"),
        }
    }
}

/// A connection for frames that no client writes.
pub(crate) struct Raw {
    stream: UnixStream,
    input: FrameBuffer,
}

impl Raw {
    pub(crate) fn connect(scene: &Scene) -> Self {
        let stream = UnixStream::connect(scene.dir.join("run/hsm.sock")).unwrap();
        stream
            .set_read_timeout(Some(crate::support::PATIENCE))
            .unwrap();
        let mut raw = Self {
            stream,
            input: FrameBuffer::default(),
        };
        let hello = Hello {
            protocol: PROTOCOL,
            program: "raw".to_owned(),
        };
        let mut frame = Vec::new();
        wire::encode(&hello, &mut frame).unwrap();
        raw.stream.write_all(&frame).unwrap();
        let greeting = raw.next().unwrap();
        assert!(matches!(
            wire::decode(&greeting).unwrap(),
            Greeting::Welcome(_)
        ));
        raw
    }

    /// Sends a frame and returns the answer's; `None` if the service ended the connection.
    pub(crate) fn ask(&mut self, id: u64, request: &[u8]) -> Option<Vec<u8>> {
        let frame = [wire::frame_header(id, request).as_slice(), request].concat();
        self.stream.write_all(&frame).ok()?;
        self.next()
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.input.next_frame().unwrap() {
                return Some(frame.to_vec());
            }
            match self.stream.read(self.input.room()) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.filled(count),
            }
        }
    }
}
