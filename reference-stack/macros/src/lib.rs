//! `#[traced]`: marks a function for the call-path recorder under the function's own name.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Records each entry of the function, under its own name, while the crate's feature `trace` is on.
///
/// The name that is recorded is the identifier after `fn`, so it cannot differ from the source's.
#[proc_macro_attribute]
pub fn traced(attr: TokenStream, item: TokenStream) -> TokenStream {
    if !attr.is_empty() {
        return r##"compile_error!("#[traced] takes no arguments");"##.parse().unwrap_or_default();
    }
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let name = tokens.windows(2).find_map(|w| match w {
        [TokenTree::Ident(keyword), TokenTree::Ident(name)] if keyword.to_string() == "fn" => {
            Some(name.to_string())
        }
        _ => None,
    });
    let (Some(name), Some((TokenTree::Group(body), signature))) = (name, tokens.split_last())
    else {
        return r##"compile_error!("#[traced] stands before a function with a body");"##
            .parse()
            .unwrap_or_default();
    };
    let enter = format!("#[cfg(feature = \"trace\")] let _traced = crate::trace::enter({name:?});");
    let mut inner: TokenStream = enter.parse().unwrap_or_default();
    inner.extend(body.stream());
    signature
        .iter()
        .cloned()
        .chain([TokenTree::Group(Group::new(Delimiter::Brace, inner))])
        .collect()
}
