/* The WebSocket part of the small test app (RFC 6455): handshake and echo. */
#pragma once
void ws_serve(int fd, const char *head);
