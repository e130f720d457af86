// The first TypeScript SDK, which most agents are built on.
import { createRequire } from 'node:module';

const load = createRequire(process.env.NPM_ROOT + '/');
const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = load('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');

const [tool, args, target, ...rest] = process.argv.slice(2);
const transport = target.startsWith('http')
  ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({ command: target, args: rest });
const client = new Client({ name: 'herma-tests', version: '1' });
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const answer = await client
  .callTool({ name: tool, arguments: JSON.parse(args) })
  .catch((error) => ({ raised: error.message }));
console.log(JSON.stringify({ tools, answer }));
await client.close();
