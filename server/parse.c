/* What a request says is read before anything needs its model. */
#include "parse.h"

#include <string.h>

static bool read_json(request *r, failure *f) {
    if (!request_take(r, fields_bytes(r->body.data, r->body.size))) return refuse_full(f);
    return (r->json = fields_read(r->body.data, r->body.size, f)) != NULL;
}

/* The model that the request names, in its body or, without a body, in its address; the only one if it names none. */
static bool find_model(request *r, const char *address, failure *f) {
    server *s = r->server;
    capp_str name = {0};
    if (!field_string(r->json, "model", &name, f)) return false;
    if (!r->json && address) name = capp_str_of(address);
    for (size_t i = 0; i < s->options->n_models; i++)
        if (name.data ? name.size == strlen(s->models[i].name) && !memcmp(name.data, s->models[i].name, name.size)
                      : s->options->n_models == 1) {
            r->model = &s->models[i];
            return true;
        }
    if (!name.data) return refuse(f, 400, "model", "the field 'model' is missing; GET /v1/models lists the models");
    return refuse(f, 404, "model", "there is no model '%.*s'; GET /v1/models lists the models",
                  name.size > 100 ? 100 : (int)name.size, name.data);
}

bool parse_request(request *r, const char *address, failure *f) {
    const endpoint *e = r->endpoint;
    r->parsed = true;
    if (!strcmp(e->method, "POST") && !read_json(r, f)) return false;
    if ((!e->modelless || e->named) && !find_model(r, address, f)) return false;
    if (e->parse && !e->parse(r, f)) return false;
    return request_take(r, r->prompt_bytes) || refuse_full(f);
}
