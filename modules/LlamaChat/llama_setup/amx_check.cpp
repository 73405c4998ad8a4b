// Sets up a tile as llama.cpp does, and uses it. Ends with 0 where compiler, kernel and processor can
// do that; with 2 where the compiler makes no AMX at all; else it dies or says 1.
#if !defined(__AMX_TILE__) || !defined(__AMX_INT8__)
int main() { return 2; }
#else
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct Config {
    uint8_t palette = 0, start_row = 0, reserved[14] = {0};
    uint16_t column_bytes[16] = {0};
    uint8_t rows[16] = {0};
};

__attribute__((noinline)) static void fill_stack() {
    volatile uint8_t rubbish[4096];
    for (volatile uint8_t & byte : rubbish) byte = 0xA5;
}

__attribute__((noinline)) static void configure() {
    Config config;
    config.palette = 1;
    for (int tile = 0; tile < 8; ++tile) { config.rows[tile] = 16; config.column_bytes[tile] = 64; }
    _tile_loadconfig(&config);
}

int main() {
    const int ask = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    if (syscall(SYS_arch_prctl, ask, tile_data) != 0) return 1;
    alignas(64) int8_t ones[16][64];
    alignas(64) int32_t sums[16][16];
    memset(ones, 1, sizeof ones);
    fill_stack();
    configure();
    _tile_zero(0);
    _tile_loadd(1, ones, 64);
    _tile_loadd(2, ones, 64);
    _tile_dpbssd(0, 1, 2);
    _tile_stored(0, sums, 64);
    _tile_release();
    for (auto & row : sums) for (int32_t sum : row) if (sum != 64) return 1;
    return 0;
}
#endif
