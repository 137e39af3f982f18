#include "base/str.h"
#include "edge/worker.h"

static bool begin(struct client *c, struct http1_out *o, int status)
{
	struct worker *w = c->w;
	if (!c->out && !(c->out = block_get(&w->blocks))) {
		client_close(c);
		return false;
	}
	/* a response that has begun cannot be taken back */
	if (c->state == CLIENT_EXCHANGE && c->x.phase >= EXCHANGE_BODY) {
		client_close(c);
		return false;
	}
	*o = (struct http1_out){ .base = c->out->data + c->out->end, .cap = block_room(c->out) };
	http1_put_status_line(o, status, (struct bytes){ 0 });
	w->count->answers_3xx += status / 100 == 3;
	w->count->answers_4xx += status / 100 == 4;
	w->count->answers_5xx += status >= 500;
	return true;
}

static void end(struct client *c, struct http1_out *o, struct bytes body, bool close)
{
	bool keep = !close && c->x.keep_alive;
	http1_put_field_u64(o, "Content-Length", body.len);
	if (!keep)
		http1_put_text(o, "Connection: close\r\n");
	else if (c->x.minor == 0)
		http1_put_text(o, "Connection: keep-alive\r\n");
	http1_put_text(o, "Cache-Control: no-store\r\nServer: ward\r\nVia: 1.1 ward\r\n");
	http1_put_field_text(o, "Fly-Request-Id", c->x.id);
	http1_put_end(o);
	if (!c->x.head)
		http1_put(o, body);
	if (o->overflow) {
		client_close(c);
		return;
	}
	c->out->end += (uint32_t)o->len;
	if (c->state == CLIENT_EXCHANGE) {
		c->x.keep_alive = keep;
		exchange_drop(c);
	}
	client_next(c, keep);
}

void page_error(struct client *c, const struct err *e, bool close)
{
	struct http1_out o;
	if (!begin(c, &o, err_code_status(e->code)))
		return;
	c->w->count->own_errors++;
	char body[1024];
	int n = snprintf(body, sizeof(body), "%d %s\n\n%s.\n\nNext: %s.\nRequest: %s\n",
	    err_code_status(e->code), err_code_name(e->code), e->text, err_next_step(e), c->x.id);
	http1_put_field_text(&o, "Content-Type", "text/plain; charset=utf-8");
	http1_put_field_text(&o, "Ward-Error", err_code_name(e->code));
	if (err_code_status(e->code) == 503)
		http1_put_text(&o, "Retry-After: 1\r\n");
	end(c, &o, (struct bytes){ body, (size_t)MIN(MAX(n, 0), (int)sizeof(body) - 1) }, close);
}

void page_redirect(struct client *c, struct bytes path)
{
	struct http1_out o;
	if (!begin(c, &o, 301))
		return;
	http1_put_text(&o, "Location: https://");
	http1_put_text(&o, c->x.host);
	if (c->w->https_port && c->w->https_port != 443) {
		http1_put_text(&o, ":");
		http1_put_u64(&o, c->w->https_port);
	}
	/* "OPTIONS *" asks of the whole server */
	http1_put(&o, path.len == 1 ? (struct bytes){ "/", 1 } : path);
	http1_put_text(&o, "\r\n");
	end(c, &o, (struct bytes){ 0 }, !c->x.req_done);
}
