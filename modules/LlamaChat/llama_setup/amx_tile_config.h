// Included before every C++ file of llama.cpp where GCC needs it. GCC before 13.3 tells its optimizer
// that _tile_loadconfig reads 8 bytes of the 64 that the instruction reads, and drops the stores to
// the rest: ldtilecfg then gets rubbish and raises a general protection fault. Here all 64 are named.
#pragma once
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)
static inline void llamachat_tile_loadconfig(const void * config) {
    struct __attribute__((__may_alias__)) tile_config { unsigned char bytes[64]; };
    __asm__ volatile("ldtilecfg %0" :: "m"(*(const struct tile_config *) config));
}
#undef _tile_loadconfig
#define _tile_loadconfig llamachat_tile_loadconfig
#endif
