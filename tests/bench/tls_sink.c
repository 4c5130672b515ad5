/* A sink with TLS for `make bench`: answers every HTTP/1.1 request with 200, on many ports, so that
   each is another endpoint. A thread for each connection; arguments: a PEM file with key and
   certificate, then the ports. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
static SSL_CTX *context;

/* One request, wholly read; 0 where the connection has ended. */
static int read_request(SSL *tls, char *buffer) {
    size_t bytes = 0;
    char *end = NULL;
    while (end == NULL) {
        int got = SSL_read(tls, buffer + bytes, BUFFER_BYTES - 1 - bytes);
        if (got <= 0) return 0;
        bytes += got;
        buffer[bytes] = 0;
        end = strstr(buffer, "\r\n\r\n");
    }
    char *length = strcasestr(buffer, "\r\ncontent-length:");
    size_t whole = (size_t)(end + 4 - buffer) + (length ? strtoull(length + 17, NULL, 10) : 0);
    while (bytes < whole && whole < BUFFER_BYTES) {
        int got = SSL_read(tls, buffer + bytes, BUFFER_BYTES - 1 - bytes);
        if (got <= 0) return 0;
        bytes += got;
    }
    return 1;
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument, one = 1;
    char *buffer = malloc(BUFFER_BYTES);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    if (SSL_accept(tls) == 1)
        while (read_request(tls, buffer) && SSL_write(tls, ANSWER, sizeof ANSWER - 1) > 0) continue;
    SSL_free(tls);
    close(fd);
    free(buffer);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    int count = argc - 2, one = 1;
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_file(context, argv[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[1], SSL_FILETYPE_PEM) != 1)
        return 1;
    struct pollfd *listeners = calloc(count, sizeof *listeners);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[i + 2]))};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listeners[i] = (struct pollfd){socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0};
        setsockopt(listeners[i].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(listeners[i].fd, (struct sockaddr *)&address, sizeof address) ||
            listen(listeners[i].fd, 256)) {
            perror("sink");
            return 1;
        }
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (;;) {
        poll(listeners, count, -1);
        for (int i = 0; i < count; i++) {
            if (!(listeners[i].revents & POLLIN)) continue;
            int fd = accept(listeners[i].fd, NULL, NULL);
            pthread_t thread;
            if (fd >= 0 && pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd))
                close(fd);
        }
    }
}
