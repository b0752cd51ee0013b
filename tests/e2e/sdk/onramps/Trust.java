import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** GETs its argument with the JDK's client; the proxy's password is the one
 * thing that no option of the JDK can give. */
class Trust {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newBuilder().authenticator(
            new Authenticator() {
                @Override
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication("agent",
                        System.getenv("PORTREEVE_TOKEN").toCharArray());
                }
            }).build();
        System.out.print(client.send(HttpRequest.newBuilder(
            URI.create(args[0])).build(),
            HttpResponse.BodyHandlers.ofString()).body());
    }
}
