/* Half floats (IEEE 754 binary16) from their bits: exact on every processor, and whatever rounding or
 * flushing of tiny numbers a host has set. */
#ifndef FACEGRAFT_HALF_H
#define FACEGRAFT_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Every half is a float; a NaN keeps its sign and bits. Without branches, for loops over rows. */
static inline float half_to_float(uint16_t half) {
    uint32_t size = (uint32_t)(half & 0x7FFFu) << 13;     /* exponent and mantissa where a float's lie */
    uint32_t normal = size + (112u << 23);                /* the exponent counts from 127, not from 15 */
    uint32_t endless = size + (224u << 23);               /* infinity and NaN have the highest */
    /* below the smallest normal half there is no hidden bit: take it away from where one was put */
    uint32_t small = bits_of_float(float_of_bits(size + (113u << 23)) - float_of_bits(113u << 23));
    uint32_t bits = half & 0x7C00u ? normal : small;
    bits = (half & 0x7C00u) == 0x7C00u ? endless : bits;
    return float_of_bits(bits | (uint32_t)(half & 0x8000u) << 16);
}

/* The nearest half, of two the even one; from 65520 on infinity. A NaN stays one. */
static inline uint16_t half_of_float(float value) {
    uint32_t bits = bits_of_float(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u) return sign | 0x7E00u | (uint16_t)(bits >> 13 & 0x1FFu);
    if (bits >= 0x477FF000u) return sign | 0x7C00u;
    if (bits < 0x33000001u) return sign; /* up to half of the smallest one */
    uint32_t shift = 13, mantissa = bits, base = 112u << 23;
    if (bits < 0x38800000u) { /* not a normal half: shift the mantissa with its hidden bit further */
        shift = 126 - (bits >> 23);
        mantissa = (bits & 0x7FFFFFu) | 0x800000u;
        base = 0;
    }
    mantissa -= base;
    uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1);
    uint32_t middle = 1u << (shift - 1);
    kept += rest > middle || (rest == middle && (kept & 1u)); /* a carry goes into the exponent */
    return (uint16_t)(sign | kept);
}

#endif
