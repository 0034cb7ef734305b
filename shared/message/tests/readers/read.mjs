// Reads messages with a parser of Node.js: `mailparser` or `postal-mime`. The same lines of JSON as read.py, of what the
// parser reports.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const person = ({ name, address }) => [name ?? "", address];
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

const parsers = {
  mailparser: async () => {
    const { simpleParser } = await import("mailparser");
    return async (mime) => {
      // The parser links pictures into the page, and makes pages of texts, unless it is told not to.
      const mail = await simpleParser(mime, { skipImageLinks: true, skipTextToHtml: true, skipHtmlToText: true });
      return {
        date: mail.date.toISOString().replace(".000Z", "+00:00"),
        from: mail.from.value.map(person),
        to: (mail.to?.value ?? []).map(person),
        subject: mail.subject,
        message_id: mail.messageId,
        plain: mail.text,
        html: mail.html,
        files: mail.attachments.map((file) => ({ name: file.filename, sha256: digest(file.content), cid: file.cid ?? null })),
      };
    };
  },
  "postal-mime": async () => {
    const { default: PostalMime } = await import("postal-mime");
    return async (mime) => {
      const mail = await PostalMime.parse(mime, { attachmentEncoding: "arraybuffer" });
      return {
        date: new Date(mail.date).toISOString().replace(".000Z", "+00:00"),
        from: [person(mail.from)],
        to: (mail.to ?? []).map(person),
        subject: mail.subject,
        message_id: mail.messageId,
        plain: mail.text,
        html: mail.html,
        files: mail.attachments.map((file) => ({
          name: file.filename,
          sha256: digest(new Uint8Array(file.content)),
          cid: file.contentId?.replace(/^<|>$/g, "") ?? null,
        })),
      };
    };
  },
};

const read = await parsers[process.argv[2]]();
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await read(Buffer.from(JSON.parse(line).mime, "base64"))));
}
