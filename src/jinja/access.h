/* Attributes, items and slices of values: value.name, value[key], value[from:to:step]. */
#ifndef CAPP_JINJA_ACCESS_H
#define CAPP_JINJA_ACCESS_H

#include "jinja/value.h"

capp_jinja_value capp_jinja_get_attribute(capp_jinja_run *run, capp_jinja_value object, capp_str name);
capp_jinja_value capp_jinja_get_item(capp_jinja_run *run, capp_jinja_value object, capp_jinja_value key);

/* bounds: start, stop and step; each is NONE if the template leaves it out. */
capp_jinja_value capp_jinja_get_slice(capp_jinja_run *run, capp_jinja_value object, const capp_jinja_value bounds[3]);

#endif
