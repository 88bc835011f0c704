/* CAPP_UNROLL(n) before a loop of at most n rounds unrolls it completely. Under a sanitizer it does nothing, because
 * the checks in every copy would make the compiler take minutes. CAPP_KEEP_LOOP before a short loop leaves it to the
 * vectorizer: GCC would unroll it first and then add number by number. */
#ifndef CAPP_KERNEL_UNROLL_H
#define CAPP_KERNEL_UNROLL_H

#define CAPP_PRAGMA(text) _Pragma(#text)

#ifdef __clang__
#define CAPP_KEEP_LOOP
#else
#define CAPP_KEEP_LOOP CAPP_PRAGMA(GCC unroll 1)
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAPP_SANITIZED
#endif
#endif

#if defined(CAPP_SANITIZED) || defined(__SANITIZE_ADDRESS__)
#define CAPP_UNROLL(n)
#elif defined(__clang__)
#define CAPP_UNROLL(n) CAPP_PRAGMA(clang loop unroll(full))
#else
#define CAPP_UNROLL(n) CAPP_PRAGMA(GCC unroll n)
#endif

#endif
