//! Deployments by requests to CloudFormation, for the tests whose subject is the template: each process of `sam` costs three
//! seconds of CPU. `deploy-stack` and `sam` are the subject of the other tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Cursor, Write},
};

use anyhow::{Context, anyhow, ensure};
use aws::s3::{Condition, Put, Store};
use aws_sdk_cloudformation::{
    error::DisplayErrorContext,
    types::{Capability, Parameter, Stack},
};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::stack::{Account, STACK, samconfig};

/// Bucket of the template and the code.
const BUCKET: &str = "deployments";

impl Account {
    /// Creates or updates the stack. As with `sam deploy`, a parameter that is neither changed nor in the example of
    /// `samconfig.toml` has its default the first time, and then its previous value.
    pub(crate) async fn apply(&self, changes: &[(&str, &str)]) -> anyhow::Result<()> {
        let url = self.upload_template().await?;
        let parameters = parameters(changes)?;
        let parameter =
            |name: &str, value: &str| Parameter::builder().parameter_key(name).parameter_value(value).build();
        let changed = parameters.iter().map(|(name, value)| parameter(name, value));
        let client = self.cloudformation();
        let capabilities = [Capability::CapabilityIam, Capability::CapabilityAutoExpand];
        if let Some(stack) = self.stack().await? {
            let named: BTreeSet<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
            let names = stack.parameters().iter().filter_map(|parameter| parameter.parameter_key());
            let previous = names
                .filter(|name| !named.contains(name))
                .map(|name| Parameter::builder().parameter_key(name).use_previous_value(true).build());
            let update = client.update_stack().stack_name(STACK).template_url(url);
            let update = update.set_parameters(Some(changed.chain(previous).collect()));
            let update = update.set_capabilities(Some(capabilities.to_vec()));
            update.send().await.map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
        } else {
            let create = client.create_stack().stack_name(STACK).template_url(url);
            let create = create.set_parameters(Some(changed.collect())).set_capabilities(Some(capabilities.to_vec()));
            create.send().await.map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
        }
        let is_done = async || {
            let status = self.status().await?;
            Ok(!status.ends_with("IN_PROGRESS"))
        };
        self.wait_until("the end of the deployment", is_done).await?;
        let status = self.status().await?;
        ensure!(["CREATE_COMPLETE", "UPDATE_COMPLETE"].contains(&status.as_str()), "{status}\n{}", self.log());
        self.api.set_numeric_concurrency().await
    }

    /// Deletes the stack.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        self.cloudformation().delete_stack().stack_name(STACK).send().await?;
        self.wait_until("the deletion of the stack", async || Ok(self.stack().await?.is_none())).await
    }

    /// Returns the stack's status, for example `UPDATE_ROLLBACK_COMPLETE`.
    pub(crate) async fn status(&self) -> anyhow::Result<String> {
        let stack = self.stack().await?.context("the stack does not exist")?;
        Ok(stack.stack_status().context("no status")?.as_str().to_owned())
    }

    /// Returns the value of each parameter of the stack.
    pub(crate) async fn parameters(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let stack = self.stack().await?.context("the stack does not exist")?;
        let pair = |parameter: &Parameter| {
            Some((parameter.parameter_key()?.to_owned(), parameter.parameter_value()?.to_owned()))
        };
        Ok(stack.parameters().iter().filter_map(pair).collect())
    }

    /// Returns the stack unless it does not exist or is deleted.
    async fn stack(&self) -> anyhow::Result<Option<Stack>> {
        let listed = self.cloudformation().describe_stacks().send().await?;
        let is_current = |stack: &&Stack| {
            let is_deleted = stack.stack_status().is_some_and(|status| status.as_str() == "DELETE_COMPLETE");
            stack.stack_name() == Some(STACK) && !is_deleted
        };
        Ok(listed.stacks().iter().find(is_current).cloned())
    }

    /// Uploads the template, with the place of the functions' code as `sam package` writes it. Returns its URL.
    async fn upload_template(&self) -> anyhow::Result<String> {
        const LOCAL_CODE: &str = "CodeUri: target/lambda/";
        let template = fs::read_to_string(self.directory().join("template.yaml"))?;
        let mut code = ZipWriter::new(Cursor::new(Vec::new()));
        code.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
        code.write_all(&fs::read(self.directory().join("target/lambda/fetch/bootstrap"))?)?;
        let code = code.finish()?.into_inner();
        let packaged = template.lines().map(|line| match line.split_once(LOCAL_CODE) {
            Some((indent, _)) => format!("{indent}CodeUri: s3://{BUCKET}/code.zip\n"),
            None => format!("{line}\n"),
        });
        let packaged: String = packaged.collect();
        ensure!(
            packaged.matches("CodeUri: s3://").count() == 4,
            "template.yaml does not have the code of four functions"
        );
        let store = Store::new(self.cloud.config(), BUCKET.to_owned());
        let client = aws_sdk_s3::Client::new(self.cloud.config());
        if client.head_bucket().bucket(BUCKET).send().await.is_err() {
            client.create_bucket().bucket(BUCKET).send().await?;
        }
        for (key, bytes) in [("code.zip", code), ("template.yaml", packaged.into_bytes())] {
            let put = Put { key, bytes: bytes.into(), content_type: "application/octet-stream", sha256: None };
            store.put(put, Condition::Always).await?;
        }
        Ok(format!("{}/{BUCKET}/template.yaml", self.endpoint()))
    }
}

/// Returns the parameters of the example of `samconfig.toml` with these changes.
fn parameters(changes: &[(&str, &str)]) -> anyhow::Result<Vec<(String, String)>> {
    let config = samconfig(changes)?;
    let (_, list) = config.split_once("parameter_overrides = [\n").context("no list of parameters")?;
    let (list, _) = list.split_once("\n]").context("the list of parameters has no end")?;
    let lines = list.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let pair = line.trim_end_matches(',').trim_matches(['\'', '"']);
        let (name, value) = pair.split_once('=').with_context(|| format!("{line} is not a parameter"))?;
        Ok((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    pairs.collect()
}
