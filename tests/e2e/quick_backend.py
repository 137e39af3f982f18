"""A small fast HTTP/1.1 server for load: prints its port, answers every request with its name."""
import asyncio, sys


class Answer(asyncio.Protocol):
    def __init__(self, name):
        self.text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name)
        self.left = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        data = self.left + data
        n = data.count(b"\r\n\r\n")
        self.left = data[data.rfind(b"\r\n\r\n") + 4:] if n else data
        self.transport.write(self.text * n)


async def main():
    name = sys.argv[1].encode()
    server = await asyncio.get_running_loop().create_server(lambda: Answer(name), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
