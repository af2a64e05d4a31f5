-- People: a concept that is a person is kept only by who gave their word that the person agrees.

-- Whether a concept is a person: an account is linked to it, or a word of its category is one for a person, whatever its
-- case, width and accents. Rather too many ("baby elephant") than too few: a person costs a question.
CREATE FUNCTION keepsake_is_person(linked_user bigint, category text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT linked_user IS NOT NULL
        OR regexp_split_to_array(btrim($words$
               person persons people human humans man men woman women boy boys girl girls guy guys lady ladies
               gentleman gentlemen child children kid kids baby babies toddler toddlers infant infants teenager teenagers
               adult adults friend friends boyfriend boyfriends girlfriend girlfriends bestie mate mates buddy buddies
               colleague colleagues coworker coworkers workmate boss neighbor neighbors neighbour neighbours roommate
               roommates flatmate flatmates classmate classmates teammate teammates partner partners spouse husband
               husbands wife wives fiance fiancee mother mothers father fathers mom mum mama dad papa parent parents
               son sons daughter daughters brother brothers sister sisters sibling siblings twin twins grandmother
               grandfather grandma grandpa granny aunt aunts uncle uncles cousin cousins nephew nephews niece nieces
               relative relatives family stranger strangers guest guests teacher teachers student students pupil pupils
               doctor doctors nurse nurses therapist therapists patient patients client clients actor actress singer
               musician celebrity politician
               mensch menschen personen mann manner frau frauen junge jungen madchen kind kinder freund freunde freundin
               freundinnen mutter vater bruder schwester sohn tochter oma opa kollege kollegin familie
               personne personnes homme hommes femme femmes garcon garcons fille filles enfant enfants bebe ami amis
               amie amies mere pere frere soeur fils famille
               persona personas hombre hombres mujer mujeres nino ninos nina ninas amigo amigos amiga amigas madre padre
               hermano hermana hijo hija familia
           $words$, E' \n'), '\s+') && regexp_split_to_array(
               replace(lower(regexp_replace(normalize(category, NFKD), '[\u0300-\u036f\u200c\u200d]', '', 'g')),
                       'ı', 'i'), '[^a-z]+')
$$;

ALTER TABLE concept ADD COLUMN is_person boolean NOT NULL
    GENERATED ALWAYS AS (keepsake_is_person(linked_user, category)) STORED;

-- When a user gave their word that the people they remember agree: asked once, before the first is stored.
ALTER TABLE person ADD COLUMN vouched_at timestamptz;

-- Whatever makes a concept a person, in whichever memory, passes here. (People who were there before stay: nobody was
-- asked then.) A host's KEEPSAKE_PEOPLE comes with the connection.
CREATE FUNCTION keepsake_check_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT keepsake_is_person(NEW.linked_user, NEW.category) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND keepsake_is_person(OLD.linked_user, OLD.category)
       AND coalesce(NEW.linked_user = OLD.linked_user, NEW.linked_user IS NULL) THEN
        RETURN NEW;
    END IF;
    IF current_setting('keepsake.people', true) = 'off' THEN
        RAISE EXCEPTION 'no people here' USING ERRCODE = 'KS003';
    END IF;
    IF NEW.created_by = keepsake_me() AND NOT EXISTS (
           SELECT FROM person
            WHERE owner_id = current_setting('keepsake.personal', true) AND vouched_at IS NOT NULL) THEN
        RAISE EXCEPTION 'no word given' USING ERRCODE = 'KS004';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER check_person BEFORE INSERT OR UPDATE OF category, linked_user ON concept FOR EACH ROW
    EXECUTE FUNCTION keepsake_check_person();
