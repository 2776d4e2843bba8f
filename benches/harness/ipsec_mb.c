/* ipsec_mb: CPU time that Intel's multi-buffer library takes to encrypt and authenticate 16 packets of mixed length, each
 * with keys of its own (AES-128-CBC, HMAC-SHA-1-96), submitted together and waited for. Keys are expanded once.
 */
#include <intel-ipsec-mb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PACKETS = 16, HEADER = 8, IV = 16, ICV = 12, PACKET_MAX = 2048, CHUNK = 64, LIFETIME_S = 120 };

/* As in ours/seal.rs: what is encrypted is a message with inner IPv4 and UDP header, and trailer, padded to a block. */
static const int MESSAGE_BYTES[PACKETS] = {462, 1391, 597, 1017, 318, 786,  1276, 903,
                                           351, 1148, 679, 534,  1333, 408, 859,  1082};
enum { AROUND = 20 + 8 + 2 };

struct association {
    _Alignas(16) uint32_t encrypt[44], decrypt[44];
    _Alignas(16) uint8_t ipad[20], opad[20];
};

static struct association associations[PACKETS];
static _Alignas(64) uint8_t packets[PACKETS][PACKET_MAX];
static int text_bytes[PACKETS];

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void set_keys(IMB_MGR *m, int i) {
    struct association *a = &associations[i];
    uint8_t key[16], block[64];
    for (int j = 0; j < 16; j++) key[j] = 0xc0 ^ (i * 17 + j);
    IMB_AES_KEYEXP_128(m, key, a->encrypt, a->decrypt);
    for (int inner = 0; inner < 2; inner++) {
        memset(block, inner ? 0x36 : 0x5c, sizeof block);
        for (int j = 0; j < 16; j++) block[j] ^= 0x1c ^ (i * 17 + j);
        IMB_SHA1_ONE_BLOCK(m, block, inner ? a->ipad : a->opad);
    }
    text_bytes[i] = (MESSAGE_BYTES[i] + AROUND + 15) / 16 * 16;
    memset(packets[i], 'x', PACKET_MAX);
}

static void submit(IMB_MGR *m, int i) {
    struct association *a = &associations[i];
    uint8_t *packet = packets[i];
    IMB_JOB *job = IMB_GET_NEXT_JOB(m);
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_CIPHER_HASH;
    job->cipher_mode = IMB_CIPHER_CBC;
    job->key_len_in_bytes = 16;
    job->enc_keys = a->encrypt;
    job->dec_keys = a->decrypt;
    job->src = packet;
    job->dst = packet + HEADER + IV;
    job->cipher_start_src_offset_in_bytes = HEADER + IV;
    job->msg_len_to_cipher_in_bytes = text_bytes[i];
    job->iv = packet + HEADER;
    job->iv_len_in_bytes = IV;
    job->hash_alg = IMB_AUTH_HMAC_SHA_1;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = HEADER + IV + text_bytes[i];
    job->u.HMAC._hashed_auth_key_xor_ipad = a->ipad;
    job->u.HMAC._hashed_auth_key_xor_opad = a->opad;
    job->auth_tag_output = packet + HEADER + IV + text_bytes[i];
    job->auth_tag_output_len_in_bytes = ICV;
    job->user_data = 0;
}

static void must_be_done(const IMB_JOB *job) {
    if (job->status == IMB_STATUS_COMPLETED) return;
    fprintf(stderr, "a job ended with status %d\n", job->status);
    exit(1);
}

/* All packets once, each done at the end. */
static void seal_all(IMB_MGR *m) {
    IMB_JOB *done;
    for (int i = 0; i < PACKETS; i++) {
        submit(m, i);
        for (done = IMB_SUBMIT_JOB_NOCHECK(m); done; done = IMB_GET_COMPLETED_JOB(m)) must_be_done(done);
    }
    while ((done = IMB_FLUSH_JOB(m))) must_be_done(done);
}

int main(int argc, char **argv) {
    if (argc != 2) { fputs("ipsec_mb SECONDS\n", stderr); return 2; }
    const double seconds = atof(argv[1]);
    alarm(LIFETIME_S);
    IMB_MGR *m = alloc_mb_mgr(0);
    if (!m) { fputs("no memory\n", stderr); return 1; }
    IMB_ARCH arch;
    init_mb_mgr_auto(m, &arch);
    if (arch == IMB_ARCH_NONE) { fputs("the library knows no way for this processor\n", stderr); return 1; }
    for (int i = 0; i < PACKETS; i++) set_keys(m, i);
    for (int i = 0; i < 10 * CHUNK; i++) seal_all(m);
    static const char *const NAMES[] = {"none", "noaesni", "sse", "avx", "avx2", "avx512"};
    long count = 0;
    const double start = cpu_s();
    double spent;
    do {
        for (int i = 0; i < CHUNK; i++) seal_all(m);
        count += (long)CHUNK * PACKETS;
    } while ((spent = cpu_s() - start) < seconds);
    printf("{\"count\":%ld,\"ns\":%.3f,\"uses\":\"%s\",\"version\":\"%s\"}\n", count, spent * 1e9 / count,
           arch < IMB_ARCH_NUM ? NAMES[arch] : "?", imb_get_version_str());
    free_mb_mgr(m);
    return 0;
}
