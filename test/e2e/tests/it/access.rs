//! Who may enter which workspace, and as whom.

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kcp_client::{DeleteParams, ListParams, Patch, WriteParams};
use kcp_test_framework::{Kcp, Kubectl, gone, poll, until};
use serde_json::json;

use crate::support::{Raw, Result, configmaps, gvr, kcp_with_people, kubeconfig_for, workspaces};

/// The organisation `acme`, which alice may enter and make workspaces in, and her workspace `acme:team`.
async fn acme() -> Result<(Kcp, Kubectl)> {
    let kcp = kcp_with_people(&[]).await?;
    let admin = kcp.kubectl()?;
    admin.ok(&["ws", "use", "root"])?;
    admin.ok(&["ws", "create", "acme", "--type", "organization"])?;
    admin.apply(&access("alice", "acme", "access"))?;
    admin.ok(&["ws", "use", "acme"])?;
    admin.ok(&[
        "create",
        "clusterrole",
        "founder",
        "--verb=create,get,list",
        "--resource=workspaces.tenancy.kcp.io",
    ])?;
    admin.ok(&["create", "clusterrolebinding", "founder", "--clusterrole=founder", "--user=alice"])?;
    let alice = Kubectl::new(&kubeconfig_for(&kcp, "alice-token", "root:acme")?, Some(&kcp.dir().join("bin")))?;
    alice.ok(&["ws", "create", "team"])?;
    Ok((kcp, alice))
}

/// The manifest that lets a user into a workspace, to be applied in its parent.
fn access(user: &str, workspace: &str, verb: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {workspace}-{verb}\nrules:\n- apiGroups: [tenancy.kcp.io]\n  resources: [workspaces/content]\n  resourceNames: [{workspace}]\n  verbs: [{verb}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: {workspace}-{verb}-{user}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {workspace}-{verb}}}\nsubjects:\n- {{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}\n"
    )
}

/// To make an object by changing it one must be allowed to create it as well (AZ-11).
#[tokio::test]
async fn whoever_may_only_change_makes_nothing() -> Result {
    let (kcp, alice) = acme().await?;
    alice.ok(&["ws", "use", ":root:acme:team"])?;
    let parent = kcp.kubectl()?;
    parent.ok(&["ws", "use", ":root:acme"])?;
    parent.apply(&access("bob", "team", "access"))?;
    let resources = "--resource=configmaps,leases.coordination.k8s.io";
    alice.ok(&["create", "clusterrole", "changer", "--verb=get,patch,update", resources])?;
    alice.ok(&["create", "clusterrolebinding", "changer", "--clusterrole=changer", "--user=bob"])?;
    let bob = kcp.client_as("root:acme:team", "bob-token")?;
    let params = WriteParams::manager("bob");
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}});
    let leases = gvr("coordination.k8s.io", "leases");
    let applied = bob.patch(&configmaps(), "default", "c", "", &Patch::Apply(&config), &params).await;
    let put = bob.update(&leases, "default", "l", "", &lease, &params).await;
    for (refused, resource) in [(applied, "configmaps"), (put, "leases")] {
        let refused = refused.unwrap_err();
        let text = format!("cannot create resource \"{resource}\"");
        ensure!(refused.is_forbidden() && refused.to_string().contains(&text), "{refused}");
    }
    alice.ok(&["create", "configmap", "c"])?;
    bob.patch(&configmaps(), "default", "c", "", &Patch::Apply(&config), &params).await.map(drop)?;
    alice.ok(&["create", "role", "maker", "--verb=create", "--resource=leases.coordination.k8s.io"])?;
    alice.ok(&["create", "rolebinding", "maker", "--role=maker", "--user=bob"])?;
    bob.update(&leases, "default", "l", "", &lease, &params).await.map(drop)?;
    Ok(())
}

#[tokio::test]
async fn access_is_decided_in_the_parent() -> Result {
    let (kcp, _alice) = acme().await?;
    let (alice, bob) = (kcp.client_as("root:acme:team", "alice-token")?, kcp.client_as("root:acme:team", "bob-token")?);
    // Its creator is its admin.
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    alice.create(&configmaps(), "default", &object, &WriteParams::default()).await?;
    alice.list(&gvr("rbac.authorization.k8s.io", "clusterroles"), "", &ListParams::default()).await?;
    // bob is let nowhere, and told so in the words of the seed (1.4).
    let refused = bob.get_path("/api").await.unwrap_err();
    ensure!(refused.is_forbidden(), "{refused}");
    ensure!(refused.to_string().contains("\"root:acme:team\" workspace access not permitted"), "{refused}");

    // Let in by the parent, he may look around, and what RBAC inside grants.
    let parent = kcp.kubectl()?;
    parent.ok(&["ws", "use", ":root:acme"])?;
    parent.apply(&access("bob", "team", "access"))?;
    bob.get_path("/api").await?;
    let refused = bob.list(&configmaps(), "default", &ListParams::default()).await.unwrap_err();
    ensure!(refused.is_forbidden() && !refused.to_string().contains("workspace access"), "{refused}");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "bob"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
    });
    let bindings = gvr("rbac.authorization.k8s.io", "clusterrolebindings");
    alice.create(&bindings, "", &binding, &WriteParams::default()).await?;
    bob.get(&configmaps(), "default", "c").await?;
    ensure!(bob.create(&configmaps(), "default", &object, &WriteParams::default()).await.is_err());
    ensure!(bob.list(&gvr("", "secrets"), "default", &ListParams::default()).await.is_err(), "view shows no secrets");
    // He may not give himself more (AZ: escalation).
    let mut more = binding.clone();
    more["metadata"]["name"] = "more".into();
    more["roleRef"]["name"] = "cluster-admin".into();
    ensure!(bob.create(&bindings, "", &more, &WriteParams::default()).await.is_err());

    // Thrown out in the parent, he is out at once, whatever RBAC inside says.
    let outside = kcp.client("root:acme")?;
    outside.delete(&bindings, "", "team-access-bob", &DeleteParams::default()).await?;
    let refused = bob.get(&configmaps(), "default", "c").await.unwrap_err();
    ensure!(refused.to_string().contains("workspace access not permitted"), "{refused}");

    // As admin by the parent's word he may do everything inside, and nothing beside.
    parent.apply(&access("bob", "team", "admin"))?;
    bob.list(&gvr("", "secrets"), "default", &ListParams::default()).await?;
    let beside = kcp.client_as("root:acme", "bob-token")?;
    ensure!(beside.list(&workspaces(), "", &ListParams::default()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn owners_may_delete_their_workspace_and_no_other() -> Result {
    let (kcp, alice) = acme().await?;
    kcp.client("root:acme")?
        .create(
            &workspaces(),
            "",
            &json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "others"}}),
            &WriteParams::default(),
        )
        .await?;
    ensure!(alice.fails(&["delete", "workspace", "others"])?.contains("orbidden"));
    let inside = kcp.client_as("root:acme:others", "alice-token")?.get_path("/api").await.unwrap_err();
    ensure!(inside.to_string().contains("workspace access not permitted"), "{inside}");
    alice.ok(&["ws", "use", ":root:acme:team"])?;
    alice.ok(&["ws", ".."])?;
    alice.ok(&["delete", "workspace", "team", "--wait=false"])?;
    poll("the workspace going", async || {
        Ok(kcp.client("root:acme")?.find(&workspaces(), "", "team").await?.is_none().then_some(()))
    })
    .await
}

/// AN-13: an admin of a workspace may act as others in it, but never become more than its admin.
#[tokio::test]
async fn impersonation_is_bounded_by_the_workspace() -> Result {
    let (kcp, _) = acme().await?;
    let alice = Raw::new(&kcp, "alice-token")?;
    let team = "/clusters/root:acme:team/api/v1/namespaces/default/configmaps";
    let headers = |user: &'static str, group: &'static str| {
        let mut list = vec![("Impersonate-User", user)];
        if !group.is_empty() {
            list.push(("Impersonate-Group", group));
        }
        list
    };
    ensure!(alice.get(team).await?.code == 200);
    for (what, path, list, code) in [
        ("the admin of the server", team, headers("kcp-admin", "system:masters"), 403),
        ("a system group", team, headers("bob", "system:kcp:workspace:admin"), 403),
        ("somebody without access", team, headers("bob", ""), 403),
        ("herself elsewhere", "/clusters/root:acme/api/v1/namespaces/default/secrets", headers("kcp-admin", ""), 403),
        ("groups of nobody", team, vec![("Impersonate-Group", "x")], 400),
    ] {
        let answer = alice.call("GET", path, &list, "").await?;
        ensure!(answer.code == code, "{what}: {} {}", answer.code, answer.body);
    }
    // The admin of the server may be anybody, and then is no more than that.
    let admin = Raw::new(&kcp, &kcp.config()?.token.unwrap_or_default())?;
    ensure!(admin.call("GET", team, &headers("alice", ""), "").await?.code == 200);
    ensure!(admin.call("GET", team, &headers("bob", ""), "").await?.code == 403);
    // Identity headers of proxies mean nothing (T-12).
    let nobody = Raw::new(&kcp, "")?;
    let claims = [("X-Remote-User", "kcp-admin"), ("X-Remote-Group", "system:masters")];
    ensure!(nobody.call("GET", team, &claims, "").await?.code == 403);
    ensure!(Raw::new(&kcp, "stolen-token")?.get(team).await?.code == 401);
    Ok(())
}

/// LC-06: a service account is somebody in its workspace and a stranger in all others.
#[tokio::test]
async fn service_accounts_stay_in_their_workspace() -> Result {
    let (kcp, _) = acme().await?;
    let alice = kcp.client_as("root:acme:team", "alice-token")?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "sa"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    });
    alice
        .create(&gvr("rbac.authorization.k8s.io", "clusterrolebindings"), "", &binding, &WriteParams::default())
        .await?;
    let order = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let issued = alice.create_subresource(&gvr("", "serviceaccounts"), "default", "default", "token", &order).await?;
    let token = issued["status"]["token"].as_str().unwrap_or_default().to_owned();
    let account = Raw::new(&kcp, &token)?;
    let secrets = |workspace: &str| format!("/clusters/{workspace}/api/v1/namespaces/default/secrets");
    ensure!(account.get(&secrets("root:acme:team")).await?.code == 200);
    for other in ["root:acme", "root:default", "root"] {
        let answer = account.get(&secrets(other)).await?;
        ensure!(answer.code == 403, "{other}: {} {}", answer.code, answer.body);
    }
    // The token dies with its account.
    alice.delete(&gvr("", "serviceaccounts"), "default", "default", &DeleteParams::default()).await?;
    let answer = account.get(&secrets("root:acme:team")).await?;
    ensure!(answer.code == 401, "{} {}", answer.code, answer.body);
    Ok(())
}

/// A Secret that asks for a service account's token gets it, and goes with the account.
#[tokio::test]
async fn tokens_are_put_into_secrets() -> Result {
    let (kcp, _) = acme().await?;
    let alice = kcp.client_as("root:acme:team", "alice-token")?;
    let secrets = gvr("", "secrets");
    let wanted = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "bot", "annotations": {"kubernetes.io/service-account.name": "bot"}},
    });
    alice.create(&secrets, "default", &wanted, &WriteParams::default()).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot"}});
    alice.create(&gvr("", "serviceaccounts"), "default", &account, &WriteParams::default()).await?;
    let filled =
        until(&alice, &secrets, "default", "bot", |s| s.is_some_and(|s| s["data"]["token"].is_string())).await?;
    let data = &filled.context("no secret")?["data"];
    let decoded = |key: &str| {
        BASE64_STANDARD.decode(data[key].as_str().unwrap_or_default()).ok().and_then(|b| String::from_utf8(b).ok())
    };
    ensure!(decoded("namespace").as_deref() == Some("default"), "{data}");
    ensure!(decoded("ca.crt").is_some_and(|ca| ca.contains("BEGIN CERTIFICATE")), "{data}");
    let bot = Raw::new(&kcp, &decoded("token").unwrap_or_default())?;
    let path = "/clusters/root:acme:team/api/v1/namespaces/default/secrets";
    let answer = bot.get(path).await?;
    ensure!(answer.code == 403 && answer.body.contains("system:serviceaccount:default:bot"), "{}", answer.body);
    alice.delete(&gvr("", "serviceaccounts"), "default", "bot", &DeleteParams::default()).await?;
    gone(&alice, &secrets, "default", "bot").await?;
    ensure!(bot.get(path).await?.code == 401);
    Ok(())
}
