/* Moving the bytes of one exchange both ways with bounded memory. Each body is decoded by one
 * parser and encoded anew, so that what a machine reads is what the edge has read; where there is
 * no room to write, nothing is read. */
#include "edge/worker.h"
#include <sys/socket.h>

enum { ENCODING_ROOM = HTTP1_CHUNK_HEAD_MAX + 2 + 8, MOVE_MIN = 2048 };

static bool send_request(struct client *c)
{
	struct exchange *x = &c->x;
	struct upconn *up = x->up;
	if (!block_len(x->req) || !up->watch.writable || up->dead_write)
		return false;
	ssize_t n = send(up->watch.fd, block_at(x->req), block_len(x->req), MSG_NOSIGNAL);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			up->watch.writable = false;
		else
			up->dead_write =
			    true; /* an answer may be there all the same: reading decides */
		return false;
	}
	x->sent_any = true;
	x->req->start += (uint32_t)n;
	/* a request without body stays whole until the response begins, to be sent again */
	if (!block_len(x->req) && (x->req_framing != HTTP1_NO_BODY || x->phase == EXCHANGE_TUNNEL))
		block_reset(x->req);
	return true;
}

/* Decodes from `in` and encodes to `out`, up to the room there. 1: moved, 0: needs more input or
 * room, negative: refused. */
static int move_body(struct block *in, struct block *out, enum http1_framing framing,
    uint64_t *left, struct http1_chunks *chunks, bool chunked_out, bool *done, struct err *e)
{
	if (!block_len(in) && framing != HTTP1_NO_BODY)
		return 0;
	if (out->start && block_room(out) < MOVE_MIN)
		block_compact(out);
	if (block_room(out) < ENCODING_ROOM + 1)
		return 0;
	size_t n = MIN(block_len(in), block_room(out) - ENCODING_ROOM), used = n;
	struct bytes data = { block_at(in), n };
	if (framing == HTTP1_LENGTH) {
		used = data.len = (size_t)MIN((uint64_t)n, *left);
		*left -= used;
		*done = *left == 0;
	} else if (framing == HTTP1_CHUNKED) {
		int r = http1_chunks_next(chunks, block_at(in), n, &used, &data, e);
		if (r < 0)
			return r;
		*done = r == HTTP1_CHUNK_END;
	}
	if (chunked_out && data.len) {
		char head[HTTP1_CHUNK_HEAD_MAX];
		size_t n_head = http1_chunk_head(head, data.len);
		block_append(out, head, n_head);
		block_append(out, data.base, data.len);
		block_append(out, "\r\n", 2);
	} else if (data.len) {
		block_append(out, data.base, data.len);
	}
	block_consume(in, used);
	if (*done && chunked_out)
		block_append(out, HTTP1_LAST_CHUNK, sizeof(HTTP1_LAST_CHUNK) - 1);
	return used > 0 || *done;
}

/* The request's body, from the client to the request block. Negative: refused. */
static int take_request_body(struct client *c, struct err *e)
{
	struct exchange *x = &c->x;
	if (x->req_done || x->phase == EXCHANGE_CONNECT)
		return 0;
	if (x->expect_continue) {
		x->expect_continue = false;
		static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
		if (!block_len(c->in)) {
			if (!c->out && !(c->out = block_get(&c->w->blocks)))
				return err_set(e, ERR_NO_MEMORY, "no memory");
			block_append(c->out, text, sizeof(text) - 1);
		}
	}
	int moved = 0;
	if (!block_len(c->in)) {
		moved = client_fill(c);
		if (moved <= 0)
			return moved < 0 ? err_set(e, ERR_PROTOCOL,
					       "the client left in the middle of its request")
					 : 0;
	}
	int r = move_body(c->in, x->req, x->req_framing, &x->req_left, &x->req_chunks,
	    x->req_framing == HTTP1_CHUNKED, &x->req_done, e);
	return r < 0 ? r : r | moved;
}

static bool can_read(struct client *c, struct upconn *up)
{
	if (!up->watch.readable)
		return false;
	if (!up->in)
		up->in = block_get(&c->w->blocks);
	return up->in != NULL;
}

/* Reads from the machine into `to`. Bytes, 0 would block, -ENODATA its end, else negative. */
static ssize_t read_upstream(struct upconn *up, struct block *to, size_t max)
{
	size_t room = MIN(block_room(to), max);
	if (!room)
		return 0;
	ssize_t n = recv(up->watch.fd, to->data + to->end, room, 0);
	if (n < 0) {
		int error = errno;
		if (error == EAGAIN || error == EINTR) {
			up->watch.readable = false;
			return 0;
		}
		return -error;
	}
	if (n == 0)
		return -ENODATA;
	if ((size_t)n < room && !up->watch.hangup)
		up->watch.readable = false;
	to->end += (uint32_t)n;
	return n;
}

static void response_begins(struct client *c, const struct http1_response *a)
{
	struct exchange *x = &c->x;
	struct worker *w = c->w;
	x->phase = EXCHANGE_BODY;
	x->up_keep = a->h.keep_alive;
	x->resp_framing = a->h.framing;
	x->resp_left = a->h.content_length;
	x->resp_done = a->h.framing == HTTP1_NO_BODY;
	x->resp_chunked =
	    x->minor == 1 && (a->h.framing == HTTP1_CHUNKED || a->h.framing == HTTP1_UNTIL_CLOSE);
	if (!x->req_done || w->draining ||
	    (x->minor == 0 && (a->h.framing == HTTP1_CHUNKED || a->h.framing == HTTP1_UNTIL_CLOSE)))
		x->keep_alive = false;
	w->count->answers_2xx += a->status / 100 == 2;
	w->count->answers_3xx += a->status / 100 == 3;
	w->count->answers_4xx += a->status / 100 == 4;
	w->count->answers_5xx += a->status >= 500;
}

/* The response's head. 1: moved, 0: wait, negative: *e says what is wrong with it. */
static int take_response_head(struct client *c, struct err *e)
{
	struct exchange *x = &c->x;
	struct upconn *up = x->up;
	struct worker *w = c->w;
	/* what came before it (100, 103) goes out first: then any head has room, and an app that
	 * sends one after the other waits for its client */
	if (block_len(c->out) || (!can_read(c, up) && !block_len(up->in)))
		return 0;
	block_compact(up->in);
	ssize_t got = up->watch.readable ? read_upstream(up, up->in, SIZE_MAX) : 0;
	if (!block_len(up->in))
		return got < 0     ? err_set(e, ERR_APP_ANSWER,
					 "the app closed the connection without an answer"),
		       -ECONNRESET : 0;
	struct http1_response *a = &w->response;
	ssize_t n =
	    http1_parse_response(block_at(up->in), block_len(up->in), &up->scanned, x->head, a, e);
	if (n == 0 && got < 0)
		return err_set(e, ERR_APP_ANSWER, "the app's answer ended in its head"), -EPROTO;
	if (n == 0)
		return got > 0;
	if (n < 0) {
		e->code = ERR_APP_ANSWER;
		return -EPROTO;
	}
	up->scanned = 0;
	bool switching = a->status == 101;
	if (switching && (!x->upgrade || !a->h.upgrade.len))
		return err_set(e, ERR_APP_ANSWER, "the app switched protocols without being asked"),
		       -EPROTO;
	if (!c->out && !(c->out = block_get(&w->blocks)))
		return err_set(e, ERR_NO_MEMORY, "no memory"), -EPROTO;
	if (a->status >= 200 || switching)
		response_begins(c, a);
	/* interim answers go on to those who know them; 100 was given by the edge itself */
	bool forward = a->status >= 200 || switching || (a->status != 100 && x->minor == 1);
	if (forward && !forward_response(c, a, c->out))
		return err_set(e, ERR_APP_ANSWER, "the head of the app's answer is too long"),
		       -EPROTO;
	block_consume(up->in, (size_t)n);
	if (switching) {
		x->phase = EXCHANGE_TUNNEL;
		x->resp_done = false;
		x->keep_alive = false;
		block_reset(x->req);
		w->count->tunnels++;
	}
	exchange_progress(c);
	return 1;
}

/* The response's body. 1: moved, 0: wait, negative: it broke off. */
static int take_response_body(struct client *c, struct err *e)
{
	struct exchange *x = &c->x;
	struct upconn *up = x->up;
	if (x->resp_done)
		return 0;
	if (!c->out && !(c->out = block_get(&c->w->blocks)))
		return -ENOMEM;
	int moved = 0;
	if (block_len(up->in) < MOVE_MIN && up->watch.readable) {
		/* a body that needs no new framing goes straight to where it is sent from */
		bool direct =
		    !block_len(up->in) && !x->resp_chunked && x->resp_framing != HTTP1_CHUNKED;
		if (direct && block_room(c->out) < MOVE_MIN)
			block_compact(c->out);
		if (!direct && !can_read(c, up))
			return -ENOMEM;
		struct block *to = direct ? c->out : up->in;
		if (!direct && block_room(to) < MOVE_MIN)
			block_compact(to);
		if (block_room(to)) {
			size_t max = direct && x->resp_framing == HTTP1_LENGTH
					 ? (size_t)MIN(x->resp_left, (uint64_t)SIZE_MAX)
					 : SIZE_MAX;
			ssize_t n = read_upstream(up, to, max);
			if (n < 0 && x->resp_framing == HTTP1_UNTIL_CLOSE && n == -ENODATA) {
				if (block_len(up->in) == 0) {
					if (x->resp_chunked) {
						if (block_room(c->out) < 8)
							return 0;
						block_append(c->out, HTTP1_LAST_CHUNK,
						    sizeof(HTTP1_LAST_CHUNK) - 1);
					}
					x->resp_done = true;
					return 1;
				}
			} else if (n < 0 && !block_len(up->in)) {
				return err_set(e, ERR_APP_ANSWER, "the app's answer broke off");
			}
			if (n > 0) {
				moved = 1;
				if (direct && x->resp_framing == HTTP1_LENGTH) {
					x->resp_left -= (uint64_t)n;
					x->resp_done = x->resp_left == 0;
				}
			}
			if (direct)
				return moved;
		}
	}
	if (!up->in)
		return moved;
	int r = move_body(up->in, c->out, x->resp_framing, &x->resp_left, &x->resp_chunks,
	    x->resp_chunked, &x->resp_done, e);
	return r < 0 ? r : r | moved;
}

/* Bytes both ways, unread, until either side ends. */
static int tunnel(struct client *c)
{
	struct exchange *x = &c->x;
	struct upconn *up = x->up;
	int moved = 0;
	if (block_len(c->in) == 0) {
		int r = client_fill(c);
		if (r < 0)
			return r;
		moved |= r;
	}
	if (block_len(c->in) && !block_len(x->req)) {
		struct block *t = x->req; /* the blocks change places: nothing is copied */
		x->req = c->in;
		c->in = t;
		if (t)
			block_reset(t);
		moved = 1;
	}
	if (!block_len(c->out) && !block_len(up->in) && can_read(c, up)) {
		ssize_t n = read_upstream(up, up->in, SIZE_MAX);
		if (n < 0)
			return (int)n;
		moved |= n > 0;
	}
	if (block_len(up->in) && !block_len(c->out)) {
		struct block *t = c->out;
		c->out = up->in;
		up->in = t;
		if (t)
			block_reset(t);
		moved = 1;
	}
	return moved;
}

static bool broke_before_answer(struct client *c, struct err *e, int r)
{
	struct exchange *x = &c->x;
	if (r == -ECONNRESET && x->up->reused && exchange_may_retry(x)) {
		/* a kept connection that the app closed meanwhile: the same machine again, on a new
		 * one */
		x->tries--;
		exchange_retry(c, e, true);
		return true;
	}
	if (r == -ECONNRESET)
		exchange_retry(c, e, false);
	else
		exchange_give_up(c, e);
	return true;
}

/* Who waits holds no empty blocks: else quiet tunnels and long polls would take all there are. */
static void release_idle(struct client *c)
{
	struct exchange *x = &c->x;
	struct block_pool *p = &c->w->blocks;
	block_put_empty(p, &c->in);
	block_put_empty(p, &c->out);
	block_put_empty(p, &x->up->in);
	if (x->phase >= EXCHANGE_BODY && x->req_done) /* until then it may be sent again */
		block_put_empty(p, &x->req);
}

static bool response_complete(struct client *c)
{
	struct exchange *x = &c->x;
	bool clean =
	    x->req_done && !block_len(x->req) && !block_len(x->up->in) && !x->up->dead_write;
	bool keep_up = clean && x->up_keep;
	exchange_finish(c, x->keep_alive && x->req_done, keep_up);
	return true;
}

bool exchange_pump(struct client *c)
{
	struct exchange *x = &c->x;
	struct err e = { 0 };
	if (x->phase == EXCHANGE_CONNECT) {
		if (c->watch.hangup)
			client_close(c);
		return false;
	}
	bool moved = false;
	int r = 0;
	if (x->phase == EXCHANGE_TUNNEL) {
		r = tunnel(c);
		if (r < 0) {
			exchange_finish(
			    c, false, false); /* what is left for the client still goes out */
			return true;
		}
		moved = r > 0;
	} else {
		r = take_request_body(c, &e);
		if (r < 0 && (c->eof || x->phase == EXCHANGE_BODY)) {
			client_close(c);
			return false;
		}
		if (r < 0) {
			page_error(c, &e, true);
			return true;
		}
		moved = r > 0;
	}
	moved |= send_request(c);
	if (x->phase == EXCHANGE_HEAD) {
		r = take_response_head(c, &e);
		if (r < 0)
			return broke_before_answer(c, &e, r);
		moved |= r > 0;
	}
	if (x->phase == EXCHANGE_BODY) {
		r = take_response_body(c, &e);
		if (r < 0) {
			client_close(
			    c); /* without the end of the body, so that the client can tell */
			return false;
		}
		moved |= r > 0;
	}
	r = client_flush(c);
	if (r < 0) {
		client_close(c);
		return false;
	}
	moved |= r > 0;
	if (x->phase == EXCHANGE_BODY && x->resp_done)
		return response_complete(c);
	/* whoever asked has left: the app need not go on (a body still being sent shows it by
	 * itself) */
	if (c->watch.hangup && x->req_done && x->phase != EXCHANGE_TUNNEL && !moved) {
		client_close(c);
		return false;
	}
	if (moved)
		exchange_progress(c);
	else
		release_idle(c);
	return moved;
}
