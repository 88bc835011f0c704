/* JSON as values of a template. */
#ifndef CAPP_JINJA_FROM_JSON_H
#define CAPP_JINJA_FROM_JSON_H

#include "base/json.h"
#include "jinja/value.h"

/* Texts count as part of the conversation. */
capp_jinja_value capp_jinja_value_from_json(capp_jinja_run *run, capp_json json);

#endif
