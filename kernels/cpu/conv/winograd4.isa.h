#include "kernels/cpu/conv/winograd_tile.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_winograd4_f32);
const ConvCode KONV_ISA_CODE(conv_winograd4_f32) = KONV_ISA::winograd_code<4>(5);

}  // namespace konv
