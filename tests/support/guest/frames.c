/* Raw Ethernet frames in a guest, without a C library: a few KiB, small enough for a VM's user data.
 *
 *   frames send IFACE    sends the frames on standard input, one per line in hexadecimal, and prints "sent N"
 *   frames watch IFACE   prints every frame that comes in, one per line, until it is killed
 *
 * Build: gcc -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -o frames frames.c  (x86-64)
 */

enum { READ = 0, WRITE = 1, IOCTL = 16, SOCKET = 41, SENDTO = 44, RECVFROM = 45, BIND = 49, EXIT = 60 };
enum { AF_PACKET = 17, SOCK_RAW = 3, SIOCGIFINDEX = 0x8933, PACKET_OUTGOING = 4 };

struct address {
    unsigned short family, protocol;
    int ifindex;
    unsigned short hardware;
    unsigned char type, length, mac[8];
};

static long call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
}

static unsigned char input[65536], frame[65536];
static char text[2 * sizeof frame + 1];
static long have, at;

static int next_byte(void) {
    if (at == have) {
        have = call(READ, 0, (long)input, sizeof input, 0, 0, 0);
        at = 0;
        if (have <= 0) return -1;
    }
    return input[at++];
}

static int digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

static int send_all(int fd, struct address *to) {
    long length = 0, sent = 0, high = -1;
    char number[24], *p = number + sizeof number;
    for (;;) {
        int c = next_byte();
        if (digit(c) >= 0) {
            if (high < 0) {
                high = digit(c);
            } else {
                frame[length++] = high << 4 | digit(c);
                high = -1;
            }
        } else if (length) {
            /* A full queue is no loss: it is tried again. */
            long result;
            while ((result = call(SENDTO, fd, (long)frame, length, 0, (long)to, sizeof *to)) == -105) {}
            if (result == length) sent++;
            length = 0;
            high = -1;
        }
        if (c < 0) break;
    }
    *--p = '\n';
    do *--p = '0' + sent % 10;
    while (sent /= 10);
    call(WRITE, 1, (long)"sent ", 5, 0, 0, 0);
    call(WRITE, 1, (long)p, number + sizeof number - p, 0, 0, 0);
    return 0;
}

static void watch(int fd) {
    struct address from;
    for (;;) {
        unsigned size = sizeof from;
        long length = call(RECVFROM, fd, (long)frame, sizeof frame, 0, (long)&from, (long)&size), i;
        if (length <= 0 || from.type == PACKET_OUTGOING) continue;
        for (i = 0; i < length; i++) {
            text[2 * i] = "0123456789abcdef"[frame[i] >> 4];
            text[2 * i + 1] = "0123456789abcdef"[frame[i] & 15];
        }
        text[2 * length] = '\n';
        call(WRITE, 1, (long)text, 2 * length + 1, 0, 0, 0);
    }
}

static int run(long *stack) {
    char **argument = (char **)(stack + 1), request[40] = {0};
    struct address here = {AF_PACKET, 0x0300 /* ETH_P_ALL, in network order */, 0, 0, 0, 6, {0}};
    int i, fd;
    if (stack[0] != 3) return 2;
    fd = call(SOCKET, AF_PACKET, SOCK_RAW, here.protocol, 0, 0, 0);
    if (fd < 0) return 3;
    for (i = 0; argument[2][i] && i < 15; i++) request[i] = argument[2][i];
    if (call(IOCTL, fd, SIOCGIFINDEX, (long)request, 0, 0, 0)) return 4;
    here.ifindex = *(int *)(request + 16);
    if (call(BIND, fd, (long)&here, sizeof here, 0, 0, 0)) return 5;
    if (argument[1][0] == 'w') watch(fd);
    return send_all(fd, &here);
}

__attribute__((used)) static void begin(long *stack) { call(EXIT, run(stack), 0, 0, 0, 0, 0); }

asm(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
