# Reads messages with MIME::Parser, which shares no code with the builder, and its companions Mail::Address and Date::Parse. The
# same lines of JSON as read.py.
use strict;
use warnings;
use Date::Parse qw(str2time);
use Digest::SHA qw(sha256_hex);
use Encode qw(decode);
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Mail::Address;
use MIME::Parser;
use POSIX qw(strftime);

my $json = JSON::PP->new->utf8->canonical;
$| = 1;

sub leaves {
    my ($entity) = @_;
    return $entity->parts ? map { leaves($_) } $entity->parts : ($entity);
}

sub structure {
    my ($entity) = @_;
    return ($entity->mime_type, map { structure($_) } $entity->parts);
}

sub unfolded {
    my ($text) = @_;
    return undef if !defined $text;
    $text =~ s/\r?\n(?=[ \t])//g;
    $text =~ s/\r?\n\z//;
    return $text;
}

sub person {
    my ($person) = @_;
    my $name = $person->phrase;
    $name =~ s/\\(.)/$1/g if $name =~ s/\A"(.*)"\z/$1/s;
    return [decode('MIME-Header', $name), $person->address];
}

sub people {
    my ($header) = @_;
    return [defined $header ? map { person($_) } Mail::Address->parse($header) : ()];
}

while (my $line = <STDIN>) {
    my $request = $json->decode($line);
    my $mime = decode_base64($request->{mime});
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    $parser->decode_headers(0);
    my $message = $parser->parse_data($mime);
    my $head = $message->head;
    my ($plain, $html, @files) = leaves($message);
    print $json->encode({
        defects => [$parser->results->errors, $parser->results->warnings],
        headers => [map { /^([^:]+):/ ? $1 : () } split /\n(?![ \t])/, $head->as_string],
        structure => [structure($message)],
        subject => decode('MIME-Header', unfolded($head->get('Subject'))),
        message_id => unfolded($head->get('Message-ID')),
        date => strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime(str2time($head->get('Date')))),
        from => people(unfolded($head->get('From'))),
        to => people(unfolded($head->get('To'))),
        fields => {
            map { $_ => decode('MIME-Header', unfolded($head->get($_))) } grep { defined $head->get($_) } @{$request->{fields}}
        },
        plain => decode('UTF-8', $plain->bodyhandle->as_string),
        html => decode('UTF-8', $html->bodyhandle->as_string),
        files => [map { {
            name => decode('MIME-Header', $_->head->recommended_filename),
            type => $_->effective_type,
            sha256 => sha256_hex($_->bodyhandle->as_string),
            encoding => unfolded($_->head->get('Content-Transfer-Encoding')),
            cid => ($_->head->get('Content-ID') // '') =~ /<(.*)>/ ? $1 : undef,
        } } @files],
    }), "\n";
}
