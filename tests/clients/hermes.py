"""The Python SDK that Hermes Agent ships with, used the way Hermes uses it."""

import asyncio
import contextlib
import datetime
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


@contextlib.asynccontextmanager
async def connection(target: list[str]):
    if target[0].startswith("http"):
        async with streamablehttp_client(target[0]) as (read, write, _):
            yield read, write
    else:
        parameters = StdioServerParameters(command=target[0], args=target[1:])
        async with stdio_client(parameters) as streams:
            yield streams


async def main(tool: str, arguments: str, target: list[str]) -> None:
    async with connection(target) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        patience = datetime.timedelta(seconds=300)
        try:
            result = await session.call_tool(tool, json.loads(arguments), read_timeout_seconds=patience)
            answer = result.model_dump(mode="json")
        except Exception as error:
            answer = {"raised": str(error)}
    print(json.dumps({"tools": tools, "answer": answer}))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
