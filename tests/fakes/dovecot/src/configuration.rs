//! Writes the configuration of Dovecot.

use std::{fs, io, path::Path};

use crate::options::{MASTER, MASTER_PASSWORD, Options, PASSWORD};

/// Writes all files of the configuration into a directory.
pub(crate) fn write(directory: &Path, port: u16, options: &Options) -> io::Result<()> {
    for part in ["base", "mail"] {
        fs::create_dir(directory.join(part))?;
    }
    let quota = options.quota.map(|bytes| format!("userdb_quota_rule=*:bytes={bytes}")).unwrap_or_default();
    // 0 means no limit.
    let max_message_bytes = options.max_message_bytes.unwrap_or_default();
    let users: String = options.users.iter().map(|user| format!("{user}:{{PLAIN}}{PASSWORD}::::::{quota}\n")).collect();
    fs::write(directory.join("users"), users)?;
    write_master(directory, MASTER_PASSWORD)?;
    let at = directory.display();
    let (user, group) =
        if is_root()? { ("nobody".to_owned(), "nogroup".to_owned()) } else { current_user_and_group()? };
    let (prefix, separator) = options.namespace.unwrap_or(("", '.'));
    let (listener, ssl) = if options.tls {
        (
            format!("inet_listener imap {{\n port = 0\n }}\n inet_listener imaps {{\n port = {port}\n ssl = yes\n }}"),
            format!("ssl = required\nssl_cert = <{at}/server.pem\nssl_key = <{at}/server.key\nssl_dh =\n"),
        )
    } else {
        (
            format!("inet_listener imap {{\n port = {port}\n }}\n inet_listener imaps {{\n port = 0\n }}"),
            "ssl = no\n".to_owned(),
        )
    };
    let token_passdb = match &options.introspection {
        None => String::new(),
        Some(url) => {
            let settings = format!(
                "introspection_mode = post\nintrospection_url = {url}\nusername_attribute = email\n\
                 active_attribute = active\nactive_value = true\n"
            );
            fs::write(directory.join("oauth2"), settings)?;
            format!("passdb {{\n driver = oauth2\n mechanisms = xoauth2\n args = {at}/oauth2\n}}\n")
        }
    };
    let mechanisms = if options.introspection.is_some() { "plain xoauth2" } else { "plain" };
    let configuration = format!(
        "base_dir = {at}/base\nstate_dir = {at}/base\nlog_path = {at}/log\n\
         default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n\
         protocols = imap\nlisten = 127.0.0.1\n{ssl}disable_plaintext_auth = no\n\
         auth_mechanisms = {mechanisms}\nauth_failure_delay = 0\nauth_master_user_separator = *\n\
         mail_location = maildir:{at}/mail/%u\nmail_uid = {user}\nmail_gid = {group}\n\
         first_valid_uid = 1\nfirst_valid_gid = 1\nmail_max_userip_connections = 100\n\
         mail_plugins = quota\nprotocol imap {{\n mail_plugins = quota imap_quota\n}}\n\
         plugin {{\n quota = count:User quota\n quota_vsizes = yes\n quota_max_mail_size = {max_message_bytes}B\n}}\n\
         namespace inbox {{\n inbox = yes\n prefix = {prefix}\n separator = {separator}\n}}\n\
         passdb {{\n driver = passwd-file\n master = yes\n args = {at}/masters\n pass = yes\n \
         mechanisms = plain login\n}}\n{token_passdb}\
         passdb {{\n driver = passwd-file\n args = {at}/users\n}}\n\
         userdb {{\n driver = passwd-file\n args = {at}/users\n}}\n\
         service anvil {{\n chroot =\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\n\
         service imap-login {{\n chroot =\n service_count = 0\n {listener}\n}}\n"
    );
    fs::write(directory.join("dovecot.conf"), configuration)
}

/// Writes the password of the account that may open every mailbox.
pub(crate) fn write_master(directory: &Path, password: &str) -> io::Result<()> {
    // The file is overwritten and not replaced, so that its owner stays the same.
    fs::write(directory.join("masters"), format!("{MASTER}:{{PLAIN}}{password}\n"))
}

/// Returns the names of the user and of the group of this process.
fn current_user_and_group() -> io::Result<(String, String)> {
    let id = |flag| {
        let output = std::process::Command::new("id").arg(flag).output()?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok((id("-un")?, id("-gn")?))
}

/// Returns `true` if this process runs as root.
pub(crate) fn is_root() -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self")?) == 0)
}
