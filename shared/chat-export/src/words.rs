//! The phrases that WhatsApp itself writes into an export, by the language of the phone. They only classify a line: the kind
//! of file that was not exported, a missed call. They never decide where a message begins, when it was sent, by
//! whom, or which file belongs to it; a language that is missing here loses only such a classification.
//!
//! Phrases are in lower case with plain spaces, as [`folded`](crate::marks::folded) makes them, without a full stop
//! at the end. File name prefixes are compared the same way.

use crate::marks::folded;

/// The phrases of one language.
pub(crate) struct Language {
    /// Android: the words after a file's name, `FILE (file attached)`.
    pub(crate) file_attached: &'static [&'static str],
    /// Android: a medium of any kind that was not exported, between `<` and `>`.
    pub(crate) media_omitted: &'static [&'static str],
    /// iOS: media of a known kind that were not exported.
    pub(crate) image_omitted: &'static [&'static str],
    pub(crate) video_omitted: &'static [&'static str],
    pub(crate) audio_omitted: &'static [&'static str],
    pub(crate) sticker_omitted: &'static [&'static str],
    pub(crate) gif_omitted: &'static [&'static str],
    pub(crate) document_omitted: &'static [&'static str],
    pub(crate) contact_omitted: &'static [&'static str],
    /// A message that was deleted for everyone.
    pub(crate) deleted: &'static [&'static str],
    /// A message that was deleted by a group's admin, before the admin's name.
    pub(crate) deleted_by_admin: &'static [&'static str],
    /// After a message that was edited, between `<` and `>`.
    pub(crate) edited: &'static [&'static str],
    pub(crate) missed_voice_call: &'static [&'static str],
    pub(crate) missed_video_call: &'static [&'static str],
    pub(crate) voice_call: &'static [&'static str],
    pub(crate) video_call: &'static [&'static str],
    /// Before a link to a map.
    pub(crate) location: &'static [&'static str],
    pub(crate) live_location: &'static [&'static str],
    /// On a line of its own before a poll's question, and before each option.
    pub(crate) poll: &'static str,
    pub(crate) option: &'static str,
    /// A message that the phone showed only once, or did not have: it is not in the export.
    pub(crate) unavailable: &'static [&'static str],
    /// The beginning of a line that WhatsApp itself wrote under a participant's name.
    pub(crate) notice: &'static [&'static str],
    /// A phrase in a line about the group, and its action. `|` is the end of the line.
    pub(crate) events: &'static [(&'static str, &'static str)],
    /// Before the chat's name in the name of the file.
    pub(crate) file_prefixes: &'static [&'static str],
}

pub(crate) const LANGUAGES: &[Language] = &[ENGLISH, GERMAN, SPANISH, DANISH, PORTUGUESE, FRENCH, ITALIAN, DUTCH];

/// Returns the form in which phrases are compared: without the angle brackets and the full stop that some versions
/// write.
pub(crate) fn phrase_key(text: &str) -> String {
    let key = folded(text);
    let key = key.strip_prefix('<').and_then(|key| key.strip_suffix('>')).unwrap_or(&key);
    key.trim().trim_end_matches('.').to_owned()
}

/// Returns whether the words are those that a phone writes behind the name of a file.
pub(crate) fn is_file_attached(words: &str) -> bool {
    let key = phrase_key(words);
    LANGUAGES.iter().any(|language| language.file_attached.contains(&key.as_str()))
}

const ENGLISH: Language = Language {
    file_attached: &["file attached"],
    media_omitted: &["media omitted"],
    image_omitted: &["image omitted", "photo omitted"],
    video_omitted: &["video omitted", "video note omitted"],
    audio_omitted: &["audio omitted"],
    sticker_omitted: &["sticker omitted"],
    gif_omitted: &["gif omitted"],
    document_omitted: &["document omitted"],
    contact_omitted: &["contact card omitted"],
    deleted: &[
        "this message was deleted",
        "you deleted this message",
        "you deleted this message as admin",
        "this message was deleted by an admin",
    ],
    deleted_by_admin: &["this message was deleted by admin "],
    edited: &["this message was edited"],
    missed_voice_call: &["missed voice call", "missed group voice call", "missed group call"],
    missed_video_call: &["missed video call", "missed group video call"],
    voice_call: &["voice call"],
    video_call: &["video call"],
    location: &["location"],
    live_location: &["live location shared"],
    poll: "poll",
    option: "option",
    unavailable: &[
        "view once message omitted",
        "view once voice message omitted",
        "view once photo omitted",
        "view once video omitted",
        "waiting for this message",
        "waiting for this message. this may take a while",
    ],
    notice: &[
        "messages and calls are end-to-end encrypted",
        "messages to this chat and calls are now secured with end-to-end encryption",
        "messages to this group are now secured with end-to-end encryption",
        "messages you send to this group are now secured with end-to-end encryption",
        "your security code with ",
    ],
    events: &[
        ("created group", "created"),
        ("created this group", "created"),
        ("joined using this group's invite link", "joined"),
        ("joined using your invite", "joined"),
        ("joined from the community", "joined"),
        (" added ", "added"),
        (" removed ", "removed"),
        ("were added", "added"),
        ("was added", "added"),
        ("changed the subject", "renamed"),
        ("changed the group name", "renamed"),
        ("changed this group's icon", "picture_changed"),
        ("deleted this group's icon", "picture_changed"),
        ("changed the group description", "description_changed"),
        ("deleted the group description", "description_changed"),
        ("changed this group's settings", "settings_changed"),
        ("now an admin", "promoted"),
        ("no longer an admin", "demoted"),
        (" left|", "left"),
    ],
    file_prefixes: &["whatsapp chat with ", "whatsapp chat - "],
};

const GERMAN: Language = Language {
    file_attached: &["datei angehängt"],
    media_omitted: &["medien ausgeschlossen", "medien weggelassen", "medien fehlen"],
    image_omitted: &["bild weggelassen", "bild nicht enthalten"],
    video_omitted: &["video weggelassen", "videonachricht weggelassen", "video nicht enthalten"],
    audio_omitted: &["audio weggelassen", "audio nicht enthalten"],
    sticker_omitted: &["sticker weggelassen", "sticker nicht enthalten"],
    gif_omitted: &["gif weggelassen"],
    document_omitted: &["dokument weggelassen", "dokument nicht enthalten"],
    contact_omitted: &["kontaktkarte ausgelassen", "kontaktkarte weggelassen"],
    deleted: &["diese nachricht wurde gelöscht", "du hast diese nachricht gelöscht"],
    deleted_by_admin: &["diese nachricht wurde vom admin "],
    edited: &["diese nachricht wurde bearbeitet"],
    missed_voice_call: &["verpasster sprachanruf", "verpasster gruppen-sprachanruf"],
    missed_video_call: &["verpasster videoanruf", "verpasster gruppen-videoanruf"],
    voice_call: &["sprachanruf"],
    video_call: &["videoanruf"],
    location: &["standort"],
    live_location: &["live-standort wird geteilt"],
    poll: "umfrage",
    option: "option",
    unavailable: &["warte auf diese nachricht", "warten auf diese nachricht"],
    notice: &[
        "nachrichten und anrufe sind ende-zu-ende-verschlüsselt",
        "nachrichten in diesem chat sowie anrufe sind jetzt mit ende-zu-ende-verschlüsselung geschützt",
        "nachrichten in dieser gruppe sind jetzt mit ende-zu-ende-verschlüsselung geschützt",
        "deine sicherheitsnummer für ",
    ],
    events: &[
        ("hat die gruppe erstellt", "created"),
        ("hast die gruppe erstellt", "created"),
        ("\" erstellt", "created"),
        ("“ erstellt", "created"),
        ("hinzugefügt", "added"),
        ("entfernt", "removed"),
        ("hat die gruppe verlassen", "left"),
        ("hast die gruppe verlassen", "left"),
        ("einladungslink", "joined"),
        ("gruppenbild", "picture_changed"),
        ("gruppenbeschreibung", "description_changed"),
        ("den betreff", "renamed"),
        ("den gruppennamen", "renamed"),
    ],
    file_prefixes: &["whatsapp chat mit ", "whatsapp-chat mit ", "whatsapp-unterhaltung mit "],
};

const SPANISH: Language = Language {
    file_attached: &["archivo adjunto", "archivo adjuntado"],
    media_omitted: &["multimedia omitido", "archivo omitido", "archivos omitidos"],
    image_omitted: &["imagen omitida"],
    video_omitted: &["video omitido", "vídeo omitido"],
    audio_omitted: &["audio omitido"],
    sticker_omitted: &["sticker omitido"],
    gif_omitted: &["gif omitido"],
    document_omitted: &["documento omitido"],
    contact_omitted: &["tarjeta de contacto omitida"],
    deleted: &["se eliminó este mensaje", "este mensaje fue eliminado", "eliminaste este mensaje"],
    deleted_by_admin: &["este mensaje fue eliminado por el administrador "],
    edited: &["se editó este mensaje", "este mensaje fue editado"],
    missed_voice_call: &["llamada perdida", "llamada de voz perdida", "llamada grupal perdida"],
    missed_video_call: &["videollamada perdida", "videollamada grupal perdida"],
    voice_call: &["llamada de voz"],
    video_call: &["videollamada"],
    location: &["ubicación"],
    live_location: &["ubicación en tiempo real compartida"],
    poll: "encuesta",
    option: "opción",
    unavailable: &["esperando este mensaje", "archivo no revelado"],
    notice: &["los mensajes y las llamadas están cifrados de extremo a extremo", "cambió tu código de seguridad con "],
    events: &[
        ("creó el grupo", "created"),
        ("creaste el grupo", "created"),
        ("añadió a ", "added"),
        ("añadiste a ", "added"),
        ("eliminó a ", "removed"),
        ("eliminaste a ", "removed"),
        ("salió del grupo", "left"),
        ("se unió usando el enlace", "joined"),
        ("cambió el asunto", "renamed"),
        ("cambió el nombre del grupo", "renamed"),
        ("cambió el ícono", "picture_changed"),
        ("cambió la imagen del grupo", "picture_changed"),
        ("cambió la descripción", "description_changed"),
        ("ahora es admin", "promoted"),
    ],
    file_prefixes: &["chat de whatsapp con ", "conversación de whatsapp con "],
};

const DANISH: Language = Language {
    file_attached: &["fil vedhæftet"],
    media_omitted: &["mediefil udeladt", "medier udeladt", "medier er udeladt"],
    image_omitted: &["billede udeladt"],
    video_omitted: &["video udeladt"],
    audio_omitted: &["lyd udeladt"],
    sticker_omitted: &["klistermærke udeladt", "sticker udeladt"],
    gif_omitted: &["gif udeladt"],
    document_omitted: &["dokument udeladt"],
    contact_omitted: &["kontaktkort udeladt"],
    deleted: &[
        "denne besked er blevet slettet",
        "denne besked blev slettet",
        "du har slettet denne besked",
        "du slettede denne besked",
    ],
    deleted_by_admin: &["denne besked blev slettet af administratoren "],
    edited: &["denne besked blev redigeret", "denne besked er blevet redigeret"],
    missed_voice_call: &["ubesvaret taleopkald", "mistet opkald"],
    missed_video_call: &["ubesvaret videoopkald"],
    voice_call: &["taleopkald"],
    video_call: &["videoopkald"],
    location: &["placering"],
    live_location: &["live placering delt"],
    poll: "afstemning",
    option: "valgmulighed",
    unavailable: &["venter på denne besked"],
    notice: &["beskeder og opkald er end-to-end-krypterede", "din sikkerhedskode for "],
    events: &[
        ("oprettede gruppen", "created"),
        ("oprettede denne gruppe", "created"),
        (" tilføjede ", "added"),
        (" fjernede ", "removed"),
        ("forlod gruppen", "left"),
        ("gruppens invitationslink", "joined"),
        ("ændrede emnet", "renamed"),
        ("ændrede gruppens navn", "renamed"),
        ("ændrede gruppens ikon", "picture_changed"),
        ("ændrede gruppebeskrivelsen", "description_changed"),
    ],
    file_prefixes: &["whatsapp chat med ", "whatsapp-chat med "],
};

const PORTUGUESE: Language = Language {
    file_attached: &["arquivo anexado", "ficheiro anexado"],
    media_omitted: &[
        "mídia oculta",
        "mídia omitida",
        "arquivo de mídia oculto",
        "multimédia omitido",
        "multimédia oculta",
    ],
    image_omitted: &["imagem ocultada", "imagem omitida", "imagem não revelada"],
    video_omitted: &["vídeo omitido", "vídeo ocultado", "vídeo não revelado"],
    audio_omitted: &["áudio ocultado", "áudio omitido", "ficheiro de áudio não revelado"],
    sticker_omitted: &["figurinha omitida", "sticker não revelado", "sticker omitido"],
    gif_omitted: &["gif omitido", "gif não revelada"],
    document_omitted: &["documento omitido", "documento não revelado"],
    contact_omitted: &["cartão do contato omitido", "contacto não revelado"],
    deleted: &["mensagem apagada", "esta mensagem foi apagada", "você apagou esta mensagem", "apagou esta mensagem"],
    deleted_by_admin: &["mensagem apagada pelo admin "],
    edited: &["mensagem editada", "esta mensagem foi editada"],
    missed_voice_call: &["chamada de voz perdida", "ligação de voz perdida"],
    missed_video_call: &["chamada de vídeo perdida", "videochamada perdida", "ligação de vídeo perdida"],
    voice_call: &["chamada de voz", "ligação de voz"],
    video_call: &["chamada de vídeo", "videochamada", "ligação de vídeo"],
    location: &["localização"],
    live_location: &["localização atual compartilhada", "está a partilhar a sua localização"],
    poll: "enquete",
    option: "opção",
    unavailable: &["ficheiro não revelado", "arquivo não revelado", "aguardando mensagem"],
    notice: &[
        "as mensagens e as chamadas são protegidas com a criptografia de ponta a ponta",
        "as mensagens e chamadas são encriptadas ponto a ponto",
        "as mensagens e ligações são protegidas com a criptografia de ponta a ponta",
        "seu código de segurança com ",
        "o seu código de segurança partilhado com ",
    ],
    events: &[
        ("criou o grupo", "created"),
        ("criou este grupo", "created"),
        ("adicionou", "added"),
        ("removeu", "removed"),
        ("saiu do grupo", "left"),
        ("entrou usando o link", "joined"),
        ("mudou o nome do grupo", "renamed"),
        ("mudou o assunto", "renamed"),
        ("alterou o assunto", "renamed"),
        ("mudou a imagem do grupo", "picture_changed"),
        ("alterou a imagem do grupo", "picture_changed"),
        ("mudou a descrição", "description_changed"),
        ("alterou a descrição", "description_changed"),
    ],
    file_prefixes: &["conversa do whatsapp com ", "conversa no whatsapp com "],
};

const FRENCH: Language = Language {
    file_attached: &["fichier joint"],
    media_omitted: &["médias omis", "fichier omis", "média omis", "média manquante"],
    image_omitted: &["image absente"],
    video_omitted: &["vidéo absente"],
    audio_omitted: &["audio omis"],
    sticker_omitted: &["sticker omis"],
    gif_omitted: &["gif retiré"],
    document_omitted: &["document manquant"],
    contact_omitted: &["fiche contact manquante"],
    deleted: &["ce message a été supprimé", "vous avez supprimé ce message"],
    deleted_by_admin: &["ce message a été supprimé par l'admin "],
    edited: &["ce message a été modifié"],
    missed_voice_call: &["appel vocal manqué", "appel vocal de groupe manqué"],
    missed_video_call: &["appel vidéo manqué", "appel vidéo de groupe manqué"],
    voice_call: &["appel vocal"],
    video_call: &["appel vidéo"],
    location: &["localisation", "position"],
    live_location: &["localisation en direct partagée"],
    poll: "sondage",
    option: "option",
    unavailable: &["en attente de ce message"],
    notice: &["les messages et les appels sont chiffrés de bout en bout", "votre code de sécurité avec "],
    events: &[
        ("a créé le groupe", "created"),
        ("avez créé le groupe", "created"),
        (" a ajouté ", "added"),
        (" a retiré ", "removed"),
        ("a quitté le groupe", "left"),
        ("lien d'invitation", "joined"),
        ("a changé le sujet", "renamed"),
        ("a modifié le sujet", "renamed"),
        ("l'icône du groupe", "picture_changed"),
        ("la description du groupe", "description_changed"),
    ],
    file_prefixes: &["discussion whatsapp avec "],
};

const ITALIAN: Language = Language {
    file_attached: &["file allegato"],
    media_omitted: &["media omessi", "media omesso", "media mancante"],
    image_omitted: &["immagine omessa"],
    video_omitted: &["video omesso"],
    audio_omitted: &["audio omesso"],
    sticker_omitted: &["sticker non incluso"],
    gif_omitted: &["gif esclusa"],
    document_omitted: &["documento omesso"],
    contact_omitted: &["scheda contatto omessa"],
    deleted: &["questo messaggio è stato eliminato", "hai eliminato questo messaggio"],
    deleted_by_admin: &["questo messaggio è stato eliminato dall'admin "],
    edited: &["questo messaggio è stato modificato"],
    missed_voice_call: &["chiamata vocale persa"],
    missed_video_call: &["videochiamata persa"],
    voice_call: &["chiamata vocale"],
    video_call: &["videochiamata"],
    location: &["posizione"],
    live_location: &["posizione attuale condivisa"],
    poll: "sondaggio",
    option: "opzione",
    unavailable: &["in attesa del messaggio"],
    notice: &["i messaggi e le chiamate sono crittografati end-to-end", "il tuo codice di sicurezza con "],
    events: &[
        ("ha creato il gruppo", "created"),
        ("hai creato il gruppo", "created"),
        (" ha aggiunto ", "added"),
        (" ha rimosso ", "removed"),
        ("ha abbandonato", "left"),
        ("link d'invito", "joined"),
        ("ha cambiato l'oggetto", "renamed"),
        ("ha cambiato il nome del gruppo", "renamed"),
        ("ha cambiato l'immagine", "picture_changed"),
        ("ha cambiato la descrizione", "description_changed"),
    ],
    file_prefixes: &["chat whatsapp con ", "chat di whatsapp con "],
};

const DUTCH: Language = Language {
    file_attached: &["bestand bijgevoegd"],
    media_omitted: &["media weggelaten"],
    image_omitted: &["afbeelding weggelaten"],
    video_omitted: &["video weggelaten"],
    audio_omitted: &["audio weggelaten"],
    sticker_omitted: &["sticker weggelaten"],
    gif_omitted: &["gif weggelaten"],
    document_omitted: &["document weggelaten"],
    contact_omitted: &["visitekaartje weggelaten"],
    deleted: &["dit bericht is verwijderd", "u hebt dit bericht verwijderd", "je hebt dit bericht verwijderd"],
    deleted_by_admin: &["dit bericht is verwijderd door beheerder "],
    edited: &["dit bericht is bewerkt"],
    missed_voice_call: &["gemist spraakgesprek", "gemiste spraakoproep"],
    missed_video_call: &["gemist videogesprek", "gemiste video-oproep"],
    voice_call: &["spraakgesprek"],
    video_call: &["videogesprek"],
    location: &["locatie"],
    live_location: &["live locatie gedeeld"],
    poll: "peiling",
    option: "optie",
    unavailable: &["wachten op dit bericht"],
    notice: &[
        "berichten en gesprekken worden end-to-end versleuteld",
        "uw beveiligingscode voor ",
        "je beveiligingscode voor ",
    ],
    events: &[
        ("heeft de groep gemaakt", "created"),
        ("heeft groep ", "created"),
        ("toegevoegd", "added"),
        ("verwijderd", "removed"),
        ("heeft de groep verlaten", "left"),
        ("uitnodigingslink", "joined"),
        ("het onderwerp gewijzigd", "renamed"),
        ("groepsnaam gewijzigd", "renamed"),
        ("groepsafbeelding", "picture_changed"),
        ("groepsbeschrijving", "description_changed"),
    ],
    file_prefixes: &["whatsapp-chat met ", "whatsapp-gesprek met "],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::folded;

    #[test]
    fn phrases_are_written_as_they_are_compared() {
        for language in LANGUAGES {
            for phrases in [
                language.file_attached,
                language.media_omitted,
                language.image_omitted,
                language.video_omitted,
                language.audio_omitted,
                language.sticker_omitted,
                language.gif_omitted,
                language.document_omitted,
                language.contact_omitted,
                language.deleted,
                language.edited,
                language.missed_voice_call,
                language.missed_video_call,
                language.voice_call,
                language.video_call,
                language.location,
                language.live_location,
                language.unavailable,
                &[language.poll, language.option],
            ] {
                for phrase in phrases {
                    assert_eq!(&folded(phrase), phrase);
                    assert!(!phrase.ends_with('.'), "{phrase}");
                }
            }
            for (phrase, _) in language.events {
                assert_eq!(phrase.to_lowercase(), *phrase);
            }
        }
    }
}
