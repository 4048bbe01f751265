/* Hashes against published vectors, hex, base64, randomness. */
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "check.h"

/* FIPS 180-2, appendix B, and the empty message. */
static void sha256_vectors(void **state)
{
    static const struct {
        const char *text, *hex;
    } table[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char hex[SHA256_HEX];
        uint8_t sum[SHA256_LEN];
        size_t len = strlen(table[i].text);

        sha256_hex(table[i].text, len, hex);
        assert_string_equal(hex, table[i].hex);
        struct sha256 *h = sha256_new();
        for (size_t k = 0; k < len; k++)
            sha256_add(h, table[i].text + k, 1);
        sha256_add(h, NULL, 0);
        sha256_end(h, sum);
        hex_encode(sum, sizeof(sum), hex);
        assert_string_equal(hex, table[i].hex);
    }
    char hex[SHA256_HEX];
    sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, table[0].hex);
    struct sha256 *h = sha256_new(); /* a million times 'a' */
    uint8_t sum[SHA256_LEN];
    char block[1000];
    memset(block, 'a', sizeof(block));
    for (int i = 0; i < 1000; i++)
        sha256_add(h, block, sizeof(block));
    sha256_end(h, sum);
    hex_encode(sum, sizeof(sum), hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4231, cases 1, 2 and 6; and the empty key. */
static void hmac_vectors(void **state)
{
    uint8_t out[SHA256_LEN];
    char hex[SHA256_HEX], key[131];
    (void)state;
    memset(key, 0x0b, 20);
    hmac_sha256(key, 20, "Hi There", 8, out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54,
                out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256(NULL, 0, NULL, 0, out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 4648, section 10. */
static void base64_vectors(void **state)
{
    static const struct {
        const char *plain, *coded;
    } table[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
    };
    static const char *const bad[] = {"Z",        "Zg",    "Zg=",  "Zg===",     "Z===",  "=",
                                      "====",     "Zh==",  "Zm9=", "Zm9v\n",    "Zm 9v", "Zm-_",
                                      "Zg==Zg==", "Zm9v=", "=m9v", "Z\xc3\xa9v"};
    char out[64];
    size_t len = 77;
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char *coded = base64_encode(table[i].plain, strlen(table[i].plain));
        assert_string_equal(coded, table[i].coded);
        mem_free(coded);
        assert_int_equal(base64_decode(table[i].coded, out, strlen(table[i].plain), &len),
                         0); /* fits exactly */
        assert_int_equal(len, strlen(table[i].plain));
        assert_memory_equal(out, table[i].plain, len);
        if (len > 0)
            assert_int_equal(base64_decode(table[i].coded, out, len - 1, &len), ERR_INPUT);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (base64_decode(bad[i], out, sizeof(out), &len) != ERR_INPUT)
            fail_msg("\"%s\" was accepted", bad[i]);
    }
    for (size_t n = 0; n < 60; n++) {
        char data[60], back[60];
        random_bytes(data, n);
        char *coded = base64_encode(data, n);
        assert_int_equal(base64_decode(coded, back, sizeof(back), &len), 0);
        assert_int_equal(len, n);
        assert_memory_equal(back, data, n);
        mem_free(coded);
    }
}

static void random_is_random(void **state)
{
    unsigned char a[32] = {0}, b[32] = {0}, large[1000] = {0};
    int seen[256] = {0}, distinct = 0;
    (void)state;
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    random_bytes(large, sizeof(large));
    for (size_t i = 0; i < sizeof(large); i++)
        distinct += seen[large[i]]++ == 0;
    assert_true(distinct > 150);
    random_bytes(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(hmac_vectors),
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(random_is_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
