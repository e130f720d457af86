// The second TypeScript SDK, which tries the newest protocol first.
import { createRequire } from 'node:module';

const load = createRequire(process.env.NPM_ROOT + '/');
const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
const { StdioClientTransport } = load('@modelcontextprotocol/client/stdio');

const [tool, args, target, ...rest] = process.argv.slice(2);
const transport = target.startsWith('http')
  ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({ command: target, args: rest });
const client = new Client({ name: 'herma-tests', version: '1' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const answer = await client
  .callTool({ name: tool, arguments: JSON.parse(args) })
  .catch((error) => ({ raised: error.message }));
console.log(JSON.stringify({ tools, answer }));
await client.close();
