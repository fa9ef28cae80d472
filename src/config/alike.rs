//! What a key that is not known was most likely meant to be.

use super::table;

/// The known name nearest to `name`, if one is near enough to be meant: a few letters off, in another case, or with the
/// part before its first point left out.
pub fn nearest(name: &str) -> Option<String> {
    let bare = name.strip_prefix("zookeeper.").unwrap_or(name);
    let names = table::keys().flat_map(|key| std::iter::once(&key.name).chain(key.aliases));
    let measured = names.filter_map(|known| match known.strip_suffix('*') {
        Some(stem) => family(bare, stem),
        None => single(bare, known),
    });
    // Of those equally near, the first in the manual.
    measured.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// A known name, and how far the name in question is from it.
type Measured = (usize, String);

fn single(name: &str, known: &str) -> Option<Measured> {
    let left_out = known.split_once('.').and_then(|(_, rest)| distance(name, rest));
    // Where only a part of it stands there, that must be right.
    let left_out = left_out.filter(|distance| *distance == 0).map(|_| 1);
    let nearest = distance(name, known).into_iter().chain(left_out).min()?;
    Some((nearest, known.to_owned()))
}

/// A family is known by its stem, which a slip may have made longer or shorter; any ending is right.
fn family(name: &str, stem: &str) -> Option<Measured> {
    let ends = (stem.len() - 1..=stem.len() + 1).filter(|at| name.is_char_boundary(*at));
    let heads = ends.filter_map(|at| name.split_at_checked(at));
    let measured = heads.filter_map(|(head, rest)| Some((distance(head, stem)?, rest)));
    let (distance, rest) = measured.min_by_key(|(distance, _)| *distance)?;
    Some((distance, format!("{stem}{rest}")))
}

/// How many letters have to be changed, whatever their case, if those are few for the length.
fn distance(name: &str, known: &str) -> Option<usize> {
    let distance = strsim::osa_distance(&name.to_lowercase(), &known.to_lowercase());
    (distance <= (known.len() / 4).clamp(1, 3)).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name with one letter left out, doubled, replaced, or changed with the next.
    fn slips(name: &str) -> impl Iterator<Item = String> {
        let letters: Vec<char> = name.chars().collect();
        let slip = move |at: usize| {
            let mut slips = [letters.clone(), letters.clone(), letters.clone(), letters.clone()];
            slips[0].remove(at);
            slips[1].insert(at, letters[at]);
            slips[2][at] = 'q';
            slips[3].swap(at, (at + 1).min(letters.len() - 1));
            slips.map(String::from_iter)
        };
        (0..name.chars().count()).flat_map(slip)
    }

    #[test]
    fn a_slip_of_any_key_finds_a_key_and_nearly_always_its_own() {
        let (mut own, mut all) = (0, 0);
        for key in table::keys() {
            for name in std::iter::once(&key.name).chain(key.aliases) {
                let name = name.replace('*', "some.ending");
                for slip in slips(&name).filter(|slip| table::find(slip).is_none()) {
                    let found = nearest(&slip);
                    assert!(found.is_some(), "{slip}, for {name}");
                    own += usize::from(found.as_ref() == Some(&name));
                    all += 1;
                }
                let found = nearest(&name.to_uppercase()).map(|name| name.to_lowercase());
                let known = table::find(&name.to_uppercase()).is_some();
                assert!(known || found == Some(name.to_lowercase()), "{name}: {found:?}");
            }
        }
        assert!(all > 5000 && own * 100 > all * 98, "{own} of {all}");
    }

    #[test]
    fn what_is_meant_is_found_and_what_is_strange_is_not() {
        for (name, meant) in [
            ("clientport", Some("clientPort")),
            ("client_port", Some("clientPort")),
            ("dataDri", Some("dataDir")),
            ("maxClientConns", Some("maxClientCnxns")),
            ("max_client_cnxns", Some("maxClientCnxns")),
            ("zookeeper.snapCuont", Some("snapCount")),
            ("shards", Some("ringkeeper.shards")),
            ("snapRetainCount", Some("autopurge.snapRetainCount")),
            ("sever.1", Some("server.1")),
            ("autopurge.purgeIntervall", Some("autopurge.purgeInterval")),
            ("foo.bar", None),
            ("x", None),
            ("", None),
            ("a.comment.of.mine", None),
            ("ünïcödé", None),
        ] {
            assert_eq!(nearest(name).as_deref(), meant, "{name}");
        }
    }
}
