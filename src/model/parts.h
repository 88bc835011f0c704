/* The parts of a model that tensors contain, and their names in GGUF files. */
#ifndef CAPP_MODEL_PARTS_H
#define CAPP_MODEL_PARTS_H

/* Tensors by their purpose. X(part, name in GGUF files) */
#define CAPP_MODEL_PART_MAP(X)                                                                                         \
    X(TOKENS, "token_embd")                                                                                            \
    X(TOKENS_NORM, "token_embd_norm")                                                                                  \
    X(POSITIONS, "position_embd")                                                                                      \
    X(PROJECT_IN, "token_embd_in")                                                                                     \
    X(PROJECT_OUT, "token_embd_out")                                                                                   \
    X(OUTPUT_NORM, "output_norm")                                                                                      \
    X(HEAD, "output")                                                                                                  \
    X(ROPE_FACTORS, "rope_freqs")                                                                                      \
    X(ROPE_LONG, "rope_factors_long")                                                                                  \
    X(ROPE_SHORT, "rope_factors_short")                                                                                \
    X(SIDE_TOKENS, "per_layer_token_embd")                                                                             \
    X(SIDE_CONTEXT, "per_layer_model_proj")                                                                            \
    X(SIDE_NORM, "per_layer_proj_norm")                                                                                \
    X(SPREAD, "altup_proj")                                                                                            \
    X(MERGE, "altup_unembd_proj")
#define CAPP_LAYER_PART_MAP(X)                                                                                         \
    X(ATTENTION_NORM, "attn_norm")                                                                                     \
    X(QKV, "attn_qkv")                                                                                                 \
    X(Q, "attn_q")                                                                                                     \
    X(K, "attn_k")                                                                                                     \
    X(V, "attn_v")                                                                                                     \
    X(Q_NORM, "attn_q_norm")                                                                                           \
    X(K_NORM, "attn_k_norm")                                                                                           \
    X(SINKS, "attn_sinks")                                                                                             \
    X(OUT, "attn_output")                                                                                              \
    X(Q_A, "attn_q_a")                                                                                                 \
    X(Q_A_NORM, "attn_q_a_norm")                                                                                       \
    X(Q_B, "attn_q_b")                                                                                                 \
    X(KV_A, "attn_kv_a_mqa")                                                                                           \
    X(KV_A_NORM, "attn_kv_a_norm")                                                                                     \
    X(KV_B, "attn_kv_b")                                                                                               \
    X(K_B, "attn_k_b")                                                                                                 \
    X(V_B, "attn_v_b")                                                                                                 \
    X(ATTENTION_POST_NORM, "post_attention_norm")                                                                      \
    X(FEED_NORM, "ffn_norm")                                                                                           \
    X(GATE, "ffn_gate")                                                                                                \
    X(CURVE, "ffn_act")                                                                                                \
    X(UP, "ffn_up")                                                                                                    \
    X(DOWN, "ffn_down")                                                                                                \
    X(FEED_POST_NORM, "post_ffw_norm")                                                                                 \
    X(ROUTER, "ffn_gate_inp")                                                                                          \
    X(EXPERT_IN, "ffn_latent_down")                                                                                    \
    X(EXPERT_OUT, "ffn_latent_up")                                                                                     \
    X(EXPERT_GATE, "ffn_gate_exps")                                                                                    \
    X(EXPERT_UP, "ffn_up_exps")                                                                                        \
    X(EXPERT_DOWN, "ffn_down_exps")                                                                                    \
    X(CHOICE_BIAS, "exp_probs_b")                                                                                      \
    X(SHARED_ROUTER, "ffn_gate_inp_shexp")                                                                             \
    X(SHARED_GATE, "ffn_gate_shexp")                                                                                   \
    X(SHARED_UP, "ffn_up_shexp")                                                                                       \
    X(SHARED_DOWN, "ffn_down_shexp")                                                                                   \
    X(MIX_IN, "ssm_in")                                                                                                \
    X(MIX_GATE, "attn_gate")                                                                                           \
    X(MIX_BETA, "ssm_beta")                                                                                            \
    X(MIX_RATES, "ssm_ba")                                                                                             \
    X(MIX_ALPHA, "ssm_alpha")                                                                                          \
    X(MIX_TAPS, "ssm_conv1d")                                                                                          \
    X(MIX_DECAY, "ssm_a")                                                                                              \
    X(MIX_STEP, "ssm_dt")                                                                                              \
    X(MIX_TAPS_Q, "ssm_conv1d_q")                                                                                      \
    X(MIX_TAPS_K, "ssm_conv1d_k")                                                                                      \
    X(MIX_TAPS_V, "ssm_conv1d_v")                                                                                      \
    X(MIX_F_A, "ssm_f_a")                                                                                              \
    X(MIX_F_B, "ssm_f_b")                                                                                              \
    X(MIX_G_A, "ssm_g_a")                                                                                              \
    X(MIX_G_B, "ssm_g_b")                                                                                              \
    X(MIX_SELECT, "ssm_x")                                                                                             \
    X(MIX_STEP_NORM, "ssm_dt_norm")                                                                                    \
    X(MIX_B_NORM, "ssm_b_norm")                                                                                        \
    X(MIX_C_NORM, "ssm_c_norm")                                                                                        \
    X(MIX_SKIP, "ssm_d")                                                                                               \
    X(MIX_NORM, "ssm_norm")                                                                                            \
    X(WKV_SHIFT, "time_mix_lerp_fused")                                                                                \
    X(WKV_W0, "time_mix_w0")                                                                                           \
    X(WKV_W1, "time_mix_w1")                                                                                           \
    X(WKV_W2, "time_mix_w2")                                                                                           \
    X(WKV_A0, "time_mix_a0")                                                                                           \
    X(WKV_A1, "time_mix_a1")                                                                                           \
    X(WKV_A2, "time_mix_a2")                                                                                           \
    X(WKV_V0, "time_mix_v0")                                                                                           \
    X(WKV_V1, "time_mix_v1")                                                                                           \
    X(WKV_V2, "time_mix_v2")                                                                                           \
    X(WKV_G1, "time_mix_g1")                                                                                           \
    X(WKV_G2, "time_mix_g2")                                                                                           \
    X(WKV_REMOVAL, "time_mix_k_k")                                                                                     \
    X(WKV_RENEWAL, "time_mix_k_a")                                                                                     \
    X(WKV_BONUS, "time_mix_r_k")                                                                                       \
    X(FEED_SHIFT, "channel_mix_lerp_k")                                                                                \
    X(MIX_OUT, "ssm_out")                                                                                              \
    X(SHARED_POST_NORM, "post_ffw_norm_1")                                                                             \
    X(ROUTER_SCALE, "ffn_gate_inp")                                                                                    \
    X(EXPERT_NORM, "pre_ffw_norm_2")                                                                                   \
    X(EXPERT_BOTH, "ffn_gate_up_exps")                                                                                 \
    X(EXPERT_SCALE, "ffn_down_exps")                                                                                   \
    X(EXPERT_POST_NORM, "post_ffw_norm_2")                                                                             \
    X(SIDE_GATE, "inp_gate")                                                                                           \
    X(SIDE_OUT, "proj")                                                                                                \
    X(SIDE_POST_NORM, "post_norm")                                                                                     \
    X(LAYER_SCALE, "layer_output_scale")                                                                               \
    X(ALTUP_ROUTER, "altup_router")                                                                                    \
    X(ALTUP_NORM, "altup_router_norm")                                                                                 \
    X(ALTUP_PREDICT, "altup_predict_coef")                                                                             \
    X(ALTUP_CORRECT, "altup_correct_coef")                                                                             \
    X(ALTUP_SCALE, "altup_correct_scale")                                                                              \
    X(LAUREL_LEFT, "laurel_l")                                                                                         \
    X(LAUREL_RIGHT, "laurel_r")                                                                                        \
    X(LAUREL_NORM, "laurel_post_norm")

typedef enum capp_part {
#define X(part, name) CAPP_PART_##part,
    CAPP_MODEL_PART_MAP(X) CAPP_FIRST_LAYER_PART,
    CAPP_BEFORE_LAYER_PARTS = CAPP_FIRST_LAYER_PART - 1,
    CAPP_LAYER_PART_MAP(X)
#undef X
        CAPP_PARTS
} capp_part;

#endif
