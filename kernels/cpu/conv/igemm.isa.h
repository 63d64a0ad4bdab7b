#include "kernels/cpu/conv/igemm.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_igemm_f32), KONV_ISA_CODE(conv_igemm_wbf16);
const ConvCode KONV_ISA_CODE(conv_igemm_f32) = KONV_ISA::igemm_code<float, float>();
const ConvCode KONV_ISA_CODE(conv_igemm_wbf16) = KONV_ISA::igemm_code<KONV_ISA::Pair, float>();

}  // namespace konv
