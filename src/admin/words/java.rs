//! The way Java prints numbers, addresses and dates, where scripts may rely on it.

use std::net::{IpAddr, SocketAddr};

/// `Double.toString`: always with a point, scientific below 0.001 and from ten million.
pub fn double(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) || !value.is_finite() {
        return match value {
            v if v.is_nan() => "NaN".to_owned(),
            v if v.is_infinite() && v > 0.0 => "Infinity".to_owned(),
            v if v.is_infinite() => "-Infinity".to_owned(),
            v => format!("{v:?}"),
        };
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// A mean as `AvgMinMaxCounter.getAvg` rounds it: four decimals, half up.
pub fn mean(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// `InetSocketAddress.toString` of an address without a name: `/1.2.3.4:5`, and IPv6 in full
/// groups and brackets. Addresses mapped into IPv6 are IPv4 to Java.
pub fn address(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{port}"),
        IpAddr::V6(ip) => {
            let groups = ip.segments().map(|group| format!("{group:x}"));
            format!("/[{}]:{port}", groups.join(":"))
        }
    }
}

/// `Date.toString` in UTC: `Mon Nov 23 14:36:10 UTC 2026`.
pub fn date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize - 1],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Date and minute of a time in seconds, in UTC: `2026-11-23 14:36 UTC`, as ZooKeeper's build writes it.
pub fn minute(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

/// Year, month (1–12) and day of a day since 1970. Years begin in March here, so that the leap
/// day is the last of its year; 400 years are one cycle of 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0 = days + 719_468;
    let (cycle, day) = (from_march_0.div_euclid(146_097), from_march_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (value, text) in [
            (0.0, "0.0"),
            (3.3333, "3.3333"),
            (10.0, "10.0"),
            (9999999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12345678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.0004, "4.0E-4"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!(mean(3.33333), 3.3333);
        assert_eq!(mean(0.00005), 0.0001);
    }

    #[test]
    fn addresses() {
        for (given, text) in [
            ("127.0.0.1:51780", "/127.0.0.1:51780"),
            ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
            ("[fe80::ab:0:1]:1", "/[fe80:0:0:0:0:ab:0:1]:1"),
            ("[::ffff:10.0.0.7]:9", "/10.0.0.7:9"),
        ] {
            assert_eq!(address(given.parse().unwrap()), text);
        }
    }

    #[test]
    fn dates() {
        for (ms, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (1_795_444_570_000, "Mon Nov 23 14:36:10 UTC 2026"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (4_107_542_399_999, "Sun Feb 28 23:59:59 UTC 2100"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(date(ms), text);
        }
    }
}
