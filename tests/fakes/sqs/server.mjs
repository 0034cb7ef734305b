// SQS on a free port of this machine. Prints its URL to standard output. Ends when standard input is closed, and so
// together with the test process that started it, even if that process is killed.
import { createSqsServer } from "local-aws-sqs";

const server = await createSqsServer({ port: 0, hostname: "127.0.0.1", accountId: "000000000000" });
console.log(`http://127.0.0.1:${server.address().port}`);
process.stdin.resume().on("end", () => process.exit(0));
