/* pow() for Qualcomm's emulator, in place of the C library's: powers.py says why. */

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

static double (*general)(double, double);

__attribute__((constructor)) static void find_general(void) {
    general = (double (*)(double, double))dlsym(dlopen("libm.so.6", RTLD_LAZY), "pow");
}

double pow(double base, double exponent) {
    if (base == 2.0 && exponent >= -1022.0 && exponent <= 1023.0) { /* no subnormals, no infinity */
        int64_t whole = (int64_t)exponent;
        if ((double)whole == exponent) {
            uint64_t bits = (uint64_t)(whole + 1023) << 52;
            double power;
            memcpy(&power, &bits, sizeof power);
            return power;
        }
    }
    return general(base, exponent);
}
