// Compiled for processors with dot products of bfloat16; tests compile it for others, too, where arithmetic stands in for the instructions.
#include "kernels/cpu/conv/igemm.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_igemm_bf16);
const ConvCode KONV_ISA_CODE(conv_igemm_bf16) = KONV_ISA::igemm_code<KONV_ISA::Pair, KONV_ISA::Pair>();

}  // namespace konv
