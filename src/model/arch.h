/* The architectures that capp knows, each in its own file. */
#ifndef CAPP_MODEL_ARCH_H
#define CAPP_MODEL_ARCH_H

#include "model/model.h"

extern const capp_arch capp_arch_gemma3;
extern const capp_arch capp_arch_gpt2;
extern const capp_arch capp_arch_llama;

#endif
