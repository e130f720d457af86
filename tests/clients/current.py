"""The Python SDK of today: its high-level client, which tries the newest protocol first."""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters


async def main(tool: str, arguments: str, target: list[str]) -> None:
    server = target[0]
    if not server.startswith("http"):
        server = StdioServerParameters(command=target[0], args=target[1:])
    async with Client(server) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        try:
            answer = (await client.call_tool(tool, json.loads(arguments))).model_dump(mode="json")
        except Exception as error:
            answer = {"raised": str(error)}
    print(json.dumps({"tools": tools, "answer": answer}))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
