#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How many threads ExecuTorch's operators take, in the whole process; nothing may be computed meanwhile.
bool executorch_use_threads(uint32_t threads);

#ifdef __cplusplus
}
#endif
