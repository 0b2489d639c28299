//! Names that an operator strikes off an inventory: nothing issues for them, whatever certificate the device holds.

use anyhow::Result;
use assay_scep::FailInfo;
use assay_tests::device::{Answer, Device, Message};
use assay_tests::query::{PKCS_REQ, RENEWAL_REQ};

use crate::{Scene, subject};

const FLEET: &str = "fleet";
const NAME: &str = "tracker-1";
const NOT_IN_INVENTORY: (FailInfo, &str) = (FailInfo::BadRequest, "CHA-05");

async fn inventory(scene: &Scene, arguments: &[&str]) -> Result<assay_tests::tool::Ran> {
    let (verb, names) = arguments.split_first().unwrap_or((&"", &[]));
    let command = ["inventory", verb, "--profile", FLEET];
    scene.installation.assay(&[&command, names].concat()).await
}

async fn renewal(scene: &Scene, device: &Device, message_type: &str) -> Result<Message> {
    let csr = Device::new()?.csr(&subject(NAME), None, &[])?;
    device.of_type(&scene.anchors, message_type, &csr).await
}

#[tokio::test]
async fn a_device_struck_off_cannot_renew_until_it_is_added_again() -> Result<()> {
    let mut scene = Scene::set().await?;
    let changes = "ticket = 'LIFE-11'\nversion = 2\n[renewal]\nwindow = '90d'\n";
    scene
        .installation
        .add_profile(FLEET, FLEET, changes)
        .await?;
    inventory(&scene, &["add", NAME]).await?.succeeded()?;
    let device = Device::new()?;
    let challenge = scene.installation.ready().fleet_challenge.clone();
    let csr = device.csr(&subject(NAME), Some(&challenge), &[])?;
    let first = device.pkcs_req(&scene.anchors, &csr).await?;
    let (answer, record) = scene.post(FLEET, &device, &first).await?;
    assert!(matches!(answer, Answer::Issued(_)), "{record:?}");
    let device = device.holding(answer.certificate()?);

    inventory(&scene, &["remove", NAME]).await?.succeeded()?;
    for message_type in [RENEWAL_REQ, PKCS_REQ] {
        let message = renewal(&scene, &device, message_type).await?;
        scene
            .refused(FLEET, &device, &message, NOT_IN_INVENTORY)
            .await?;
    }
    let stranger = Device::new()?;
    let csr = stranger.csr(&subject(NAME), Some(&challenge), &[])?;
    let message = stranger.pkcs_req(&scene.anchors, &csr).await?;
    scene
        .refused(FLEET, &stranger, &message, NOT_IN_INVENTORY)
        .await?;

    inventory(&scene, &["add", NAME]).await?.succeeded()?;
    let message = renewal(&scene, &device, RENEWAL_REQ).await?;
    let (answer, record) = scene.post(FLEET, &device, &message).await?;
    assert!(matches!(answer, Answer::Issued(_)), "{record:?}");

    let changes: Vec<String> = scene
        .operator
        .audit(0)
        .await?
        .iter()
        .filter(|record| record.kind() == "inventory.changed")
        .map(|record| record.text("change").to_owned())
        .collect();
    assert_eq!(changes, ["add", "remove", "add"]);
    Ok(())
}

#[tokio::test]
async fn names_are_struck_off_all_or_none_and_an_error_names_what_stands_in_the_way() -> Result<()>
{
    let mut scene = Scene::set().await?;
    let changes = "ticket = 'LIFE-10'\n[approval]\nexpires = '1h'\n";
    scene
        .installation
        .add_profile(FLEET, FLEET, changes)
        .await?;
    inventory(&scene, &["add", NAME, "tracker-2"])
        .await?
        .succeeded()?;

    let unknown = inventory(&scene, &["remove", "tracker-2", "nobody"]).await?;
    let said = unknown.failed()?.all();
    assert!(said.contains("no `nobody`"), "{said}");
    assert!(!said.contains("`tracker-2`"), "{said}");

    let device = Device::new()?;
    let challenge = scene.installation.ready().fleet_challenge.clone();
    let csr = device.csr(&subject(NAME), Some(&challenge), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (answer, record) = scene.post(FLEET, &device, &message).await?;
    assert_eq!(answer, Answer::Pending, "{record:?}");
    let held = inventory(&scene, &["remove", "tracker-2", NAME]).await?;
    let said = held.failed()?.all();
    assert!(said.contains(NAME), "{said}");
    assert!(said.contains("kept for request"), "{said}");

    let listed = inventory(&scene, &["list"]).await?.succeeded()?.text();
    for name in [NAME, "tracker-2"] {
        assert!(listed.contains(name), "{listed}");
    }
    inventory(&scene, &["remove", "tracker-2"])
        .await?
        .succeeded()?;
    let listed = inventory(&scene, &["list"]).await?.succeeded()?.text();
    assert!(!listed.contains("tracker-2"), "{listed}");
    Ok(())
}
